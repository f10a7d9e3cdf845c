import { ROUTES } from "@mags/api-schema";
import { isTerminal, isUuid } from "@mags/domain";
import type { Job } from "../app/job.ts";
import { type Stopped, stopJob, stopScript } from "../app/stop-job.ts";
import { stopWorkspace } from "../app/stop-workspace.ts";
import { type BoundRoute, bind } from "../http/route.ts";
import type { RouteDeps } from "./deps.ts";
import { findJob } from "./find-job.ts";

const PATIENCE_MS = 10_000;

export function stopJobRoute(deps: RouteDeps): BoundRoute {
  return bind(ROUTES.stopJob, async ({ params, query, account }) => {
    const job = await findJob(deps.store, account.id, params.id);
    const options = { patienceMs: PATIENCE_MS, discard: query.force };
    if (query.script_only) {
      await stopScript(deps, job, options);
      return { success: true as const, message: "Mags script stopped", stopped: true };
    }
    const stopped = meansWorkspace(job, params.id)
      ? await stopWorkspace(deps, job.accountId, params.id, options)
      : await stopJob(deps, job, options);
    return { success: true as const, message: messageOf(stopped, job), stopped: stopped.kind === "ended" };
  });
}

/** No job of the workspace lives, but its VM may still be warm. */
function meansWorkspace({ status, workspaceId }: Job, key: string): boolean {
  return isTerminal(status) && workspaceId === key && !isUuid(key);
}

function messageOf(stopped: Stopped, { name, sandbox }: Job): string {
  const force = `to drop what was not synced: mags stop --force ${name}`;
  if (stopped.kind === "unsynced")
    return `Mags job is not stopped yet: its last changes cannot be synced now (${stopped.reason}). They are kept, and it stops when they are synced; ${force}`;
  if (stopped.kind === "ending" && sandbox?.sync)
    return `Mags job is being stopped: its last changes are still being synced; ${force}`;
  return "Mags job stopped";
}
