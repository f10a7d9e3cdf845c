/** What users do to workspaces. */
import { AppError, isAppError, messageOf } from "@mags/core";
import type { AccountId, WorkspaceVersion } from "@mags/domain";
import { listVersions } from "./find-base.ts";
import type { WorkspaceWork } from "./reconcile-workspaces.ts";
import { ENDED, type StopDeps, type Stopped, stopJob } from "./stop-job.ts";
import { releaseInTime } from "./stop-workspace.ts";
import type { Workspace } from "./workspace.ts";
import type { StandingSandbox } from "./workspace-records.ts";

export interface WorkspacesDeps extends StopDeps {
  readonly workspaceWork: WorkspaceWork;
}

/** How long what stands on one has to end. */
const STOP_MS = 10_000;
const MOST_TRIES = 5;
const RESTORE_MS = 60_000;

/** @throws AppError `workspace_not_found`; other accounts' workspaces are not found either. */
export async function findWorkspace(
  { workspaces }: Pick<WorkspacesDeps, "workspaces">,
  accountId: AccountId,
  name: string,
): Promise<Workspace> {
  const workspace = await workspaces.find(accountId, name);
  if (!workspace) throw new AppError("workspace_not_found", `there is no synced workspace ${JSON.stringify(name)}`);
  return workspace;
}

/**
 * Deletes a workspace, with the aliases that lead to it: its name is free at once, what it takes is removed by the node, after a restart too.
 * @param options.force  Stops what stands on it. What changed in other workspaces is synced before, as by any stop; what
 * changed in this one, and in what is local, is dropped.
 * @throws AppError `workspace_not_found`, `workspace_in_use` that names a job: also with `force` one that could not
 * be synced.
 */
export async function deleteWorkspace(
  deps: WorkspacesDeps,
  { id, accountId, name }: Workspace,
  { force }: { readonly force: boolean },
): Promise<void> {
  const { workspaces, workspaceWork, clock, log } = deps;
  for (let attempt = 1; ; attempt++) {
    const standing = await workspaces.delete(id, clock.now());
    if (standing.length === 0) break;
    if (!force || attempt > MOST_TRIES) throw new AppError("workspace_in_use", standingText(name, standing));
    const isOther = ({ syncsTo }: StandingSandbox) => syncsTo !== null && syncsTo !== id;
    // First what can fail.
    await Promise.all(standing.filter(isOther).map((sandbox) => endSynced(deps, name, sandbox)));
    const others = standing.filter((sandbox) => !isOther(sandbox));
    await Promise.all(others.map((sandbox) => end(deps, sandbox, { discard: true })));
  }
  await workspaceWork
    .only(id, () => workspaceWork.remove({ id, accountId }))
    .catch((error: unknown) => log.warn("workspace.not_removed_yet", { workspaceId: id, error: messageOf(error) }));
}

/** @throws AppError `workspace_in_use` when what changed in it cannot be synced now: then its stop waits. */
async function endSynced(deps: WorkspacesDeps, base: string, sandbox: StandingSandbox): Promise<void> {
  const stopped = await end(deps, sandbox, { discard: false });
  if (stopped.kind !== "unsynced") return;
  const { job, workspaceId } = sandbox;
  const fork = workspaceId ?? job?.id;
  const vm = job ? `the VM of job ${job.name} (${job.id})` : "a VM";
  throw new AppError(
    "workspace_in_use",
    `workspace ${base} is in use: ${vm} is being stopped, and what changed in workspace ${fork} is not synced yet: ${stopped.reason}: try again, or drop it: mags stop --force ${fork}`,
  );
}

/** What is not done in time goes on. */
async function end(
  deps: WorkspacesDeps,
  { id }: StandingSandbox,
  { discard }: { readonly discard: boolean },
): Promise<Stopped> {
  const { store, sandboxes, clock } = deps;
  for (const { id: jobId } of await sandboxes.liveJobs(id)) {
    const job = await store.get(jobId);
    const stopped = job ? await stopJob(deps, job, { patienceMs: STOP_MS, discard }) : ENDED;
    if (stopped.kind !== "ended") return stopped;
  }
  if (!(await sandboxes.requestRelease(id, clock.now()))) return ENDED;
  return releaseInTime(deps, id, { patienceMs: STOP_MS, discard });
}

/** Clients look for the words `in use`. */
function standingText(name: string, standing: readonly StandingSandbox[]): string {
  const [first] = standing;
  const more = standing.length > 1 ? `, and ${standing.length - 1} more` : "";
  const job = first?.job;
  const what = job ? `the VM of job ${job.name} (${job.id}, ${job.status}) stands on it` : "a VM stands on it";
  const cure = `stop it first: mags stop ${first?.workspaceId ?? job?.id ?? name}`;
  return `workspace ${name} is in use: ${what}${more}: ${cure}`;
}

/**
 * Makes an older version the newest.
 * @throws AppError `version_not_found`, `workspace_in_use` while it is open or when it has got a newer version meanwhile,
 *   `unavailable` when the object store is away: whether it took effect is found out before the workspace can be opened
 *   again, and nothing of it happens after that.
 */
export async function restoreWorkspace(
  deps: WorkspacesDeps,
  workspace: Workspace,
  seq: number,
): Promise<WorkspaceVersion> {
  const { workspaces, workspaceWork, node, clock } = deps;
  const { id, accountId, name, forkedFrom } = workspace;
  const versions = await listVersions(deps, workspace);
  const found = versions.find((kept) => kept.seq === seq);
  const newest = versions.at(-1);
  if (!found || !newest)
    throw new AppError(
      "version_not_found",
      `there is no version ${seq} of workspace ${name}: see mags workspace versions ${name}`,
    );
  let restored: WorkspaceVersion | undefined;
  const isAlone = await workspaceWork.only(id, async () => {
    const open = await workspaces.beginRestore(id, clock.now());
    if (open.length > 0) throw new AppError("workspace_in_use", standingText(name, open));
    const { sha256 } = found;
    const ref = { accountId, workspaceId: id, name, forkedFrom, version: { seq, sha256 }, newest };
    restored = await node
      .restoreVersion(ref, { signal: AbortSignal.timeout(RESTORE_MS) })
      .catch(async (error: unknown) => {
        // Whether it took effect, the reconciler finds out.
        if (isAppError(error) && error.code !== "unavailable") await workspaces.endRestore(id);
        throw error;
      });
    await workspaces.recordVersion(id, restored, new Date(restored.createdAtMs));
    await workspaces.endRestore(id);
  });
  if (!isAlone || !restored)
    throw new AppError("workspace_in_use", `workspace ${name} is in use: it is being restored: try again`);
  return restored;
}
