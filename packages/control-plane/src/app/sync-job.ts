import { AppError } from "@mags/core";
import type { NodeRuntime, SandboxId, VersionName } from "@mags/domain";
import type { Job } from "./job.ts";
import type { SandboxReports } from "./sandbox-reports.ts";
import type { SandboxStore } from "./sandbox-store.ts";
import type { WorkspaceRecords } from "./workspace-records.ts";

export interface SyncDeps {
  readonly workspaces: WorkspaceRecords;
  readonly sandboxes: SandboxStore;
  readonly reports: SandboxReports;
  readonly node: NodeRuntime;
}

/**
 * Publishes what changed in the workspace of a job; of one that is open nowhere, what was published last holds.
 * @throws AppError `validation_failed` when it is local or the job has none, `no_vm` when its VM has not come,
 * `job_not_running` when it ended and was never synced, `unavailable` when the object store is away, `lease_lost`.
 */
export async function syncJob(
  deps: SyncDeps,
  job: Job,
  { signal }: { readonly signal: AbortSignal },
): Promise<VersionName> {
  const { workspaces, node, reports } = deps;
  const { name, workspaceId } = job;
  if (workspaceId === null) throw new AppError("validation_failed", `job ${name} has no workspace to sync`);
  const open = await openSandbox(deps, job, workspaceId);
  if (open && !node.observeSandboxes().some(({ sandboxId }) => sandboxId === open.id))
    throw new AppError("no_vm", `there is no VM associated with this job yet: ${name} waits for one, try again`);
  if (open?.isSynced) {
    const version = await node.syncSandbox(open.id, { reason: "request", signal });
    await reports.settled(open.id);
    return version;
  }
  const latest = (await workspaces.find(job.accountId, workspaceId))?.latest;
  if (open) throw new AppError("validation_failed", localText(workspaceId, latest !== undefined && latest !== null));
  if (latest) return latest;
  throw new AppError(
    "job_not_running",
    `job ${name} is not running: it has ended (${job.status}), and workspace ${workspaceId} was never synced`,
  );
}

interface OpenSandbox {
  readonly id: SandboxId;
  readonly isSynced: boolean;
}

/** The one that the job runs in, else that in which others have its workspace open. */
async function openSandbox({ sandboxes }: SyncDeps, job: Job, workspaceId: string): Promise<OpenSandbox | null> {
  const { sandbox: own } = job;
  if (own && own.state !== "gone") return { id: own.id, isSynced: own.sync !== null };
  const found = await sandboxes.ofWorkspace(job.accountId, workspaceId);
  return found && { id: found.id, isSynced: found.syncsTo !== null };
}

function localText(workspaceId: string, isCopy: boolean): string {
  if (isCopy) return `workspace ${workspaceId} is open as a local copy: what changes in it is not synced`;
  return `workspace ${workspaceId} is local: its files lie on the disk of its VM only and are not synced; to have it synced: mags run -w ${workspaceId} -p true`;
}
