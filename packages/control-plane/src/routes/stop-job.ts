import { ROUTES } from "@mags/api-schema";
import { isTerminal, isUuid } from "@mags/domain";
import type { Job } from "../app/job.ts";
import { stopJob, stopScript } from "../app/stop-job.ts";
import { stopWorkspace } from "../app/stop-workspace.ts";
import { type BoundRoute, bind } from "../http/route.ts";
import type { RouteDeps } from "./deps.ts";
import { findJob } from "./find-job.ts";

const PATIENCE_MS = 10_000;

export function stopJobRoute(deps: RouteDeps): BoundRoute {
  return bind(ROUTES.stopJob, async ({ params, query, account }) => {
    const job = await findJob(deps.store, account.id, params.id);
    const options = { patienceMs: PATIENCE_MS };
    if (query.script_only) {
      await stopScript(deps, job, options);
      return { success: true as const, message: "Mags script stopped" };
    }
    if (meansWorkspace(job, params.id)) await stopWorkspace(deps, job.accountId, params.id, options);
    else await stopJob(deps, job, options);
    return { success: true as const, message: "Mags job stopped" };
  });
}

/** No job of the workspace lives, but its VM may still be warm. */
function meansWorkspace({ status, workspaceId }: Job, key: string): boolean {
  return isTerminal(status) && workspaceId === key && !isUuid(key);
}
