import { type Clock, type Logger, messageOf } from "@mags/core";
import type { NodeRuntime, WorkspaceId } from "@mags/domain";
import type { Workspace } from "./workspace.ts";
import type { WorkspaceRecords } from "./workspace-records.ts";

export interface WorkspaceWorkDeps {
  readonly workspaces: WorkspaceRecords;
  readonly node: NodeRuntime;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Work on workspaces that requests begin and the reconciler finishes. One thing at a time is done to one of them. */
export interface WorkspaceWork {
  /** Runs `work` unless something is done to the workspace already. @returns whether it ran. */
  only(id: WorkspaceId, work: () => Promise<void>): Promise<boolean>;
  /** Has the node forget one that is deleted. */
  remove(workspace: Pick<Workspace, "id" | "accountId">): Promise<void>;
  /** Finishes, in the background, what was cut off. @returns how much there was. */
  run(): Promise<number>;
}

const DELETE_MS = 60_000;
const SETTLE_MS = 30_000;

export function createWorkspaceWork({ workspaces, node, clock, log }: WorkspaceWorkDeps): WorkspaceWork {
  const busy = new Set<WorkspaceId>();

  async function only(id: WorkspaceId, work: () => Promise<void>): Promise<boolean> {
    if (busy.has(id)) return false;
    busy.add(id);
    try {
      await work();
    } finally {
      busy.delete(id);
    }
    return true;
  }

  async function remove({ id, accountId }: Pick<Workspace, "id" | "accountId">): Promise<void> {
    await node.deleteWorkspace({ accountId, workspaceId: id }, { signal: AbortSignal.timeout(DELETE_MS) });
    await workspaces.markRemoved(id, clock.now());
  }

  /** Whether the older version was published is not known: what is the newest now holds, and stays. */
  async function endRestore(workspace: Workspace): Promise<void> {
    const { id: workspaceId, accountId, name, forkedFrom } = workspace;
    const ref = { accountId, workspaceId, name, forkedFrom };
    const latest = (await node.settleVersions(ref, { signal: AbortSignal.timeout(SETTLE_MS) })).at(-1);
    if (latest) await workspaces.recordVersion(workspace.id, latest, new Date(latest.createdAtMs));
    await workspaces.endRestore(workspace.id);
  }

  /** The object store may be away, and the next run looks again. */
  function inBackground(action: string, { id }: Workspace, work: () => Promise<void>): void {
    if (busy.has(id)) return;
    log.info("reconcile.action", { kind: action, workspaceId: id });
    only(id, work).catch((error: unknown) =>
      log.warn("reconcile.action_failed", { kind: action, workspaceId: id, error: messageOf(error) }),
    );
  }

  return {
    only,
    remove,
    async run() {
      const { deleted, restoring } = await workspaces.unfinished();
      for (const workspace of deleted) inBackground("remove_workspace", workspace, () => remove(workspace));
      for (const workspace of restoring) inBackground("end_restore", workspace, () => endRestore(workspace));
      return deleted.length + restoring.length;
    },
  };
}
