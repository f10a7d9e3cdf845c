import { ROUTES } from "@mags/api-schema";
import { type BoundRoute, bind } from "../http/route.ts";
import type { RouteDeps } from "./deps.ts";
import { findJob } from "./find-job.ts";
import { jobToWire } from "./job-wire.ts";

export function getJobRoute(deps: RouteDeps): BoundRoute {
  return bind(ROUTES.getJob, async ({ params, account }) =>
    jobToWire(await findJob(deps.store, account.id, params.id), deps),
  );
}
