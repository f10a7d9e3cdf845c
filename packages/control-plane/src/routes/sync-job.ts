import { ROUTES } from "@mags/api-schema";
import { syncJob } from "../app/sync-job.ts";
import { type BoundRoute, bind } from "../http/route.ts";
import type { RouteDeps } from "./deps.ts";
import { findJob } from "./find-job.ts";

export function syncJobRoute(deps: RouteDeps): BoundRoute {
  return bind(ROUTES.syncJob, async ({ params, account, signal }) => {
    const job = await findJob(deps.store, account.id, params.id);
    const { seq: version } = await syncJob(deps, job, { signal });
    return { success: true as const, message: `Workspace ${job.workspaceId} synced as version ${version}`, version };
  });
}
