import { ROUTES } from "@mags/api-schema";
import { type BoundRoute, bind } from "../http/route.ts";
import type { RouteDeps } from "./deps.ts";
import { findJob } from "./find-job.ts";
import { statusToWire } from "./job-wire.ts";

export function getStatusRoute(deps: RouteDeps): BoundRoute {
  return bind(ROUTES.getStatus, async ({ params, account }) =>
    statusToWire(await findJob(deps.store, account.id, params.id), deps),
  );
}
