import { ROUTES } from "@mags/api-schema";
import { stopJob } from "../app/stop-job.ts";
import { type BoundRoute, bind } from "../http/route.ts";
import type { RouteDeps } from "./deps.ts";
import { findJob } from "./find-job.ts";

const PATIENCE_MS = 10_000;

export function stopJobRoute(deps: RouteDeps): BoundRoute {
  return bind(ROUTES.stopJob, async ({ params, account }) => {
    const job = await findJob(deps.store, account.id, params.id);
    await stopJob(deps, job, { patienceMs: PATIENCE_MS });
    return { success: true as const, message: "Mags job stopped" };
  });
}
