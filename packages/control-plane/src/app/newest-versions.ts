/**
 * The object store may have newer versions of workspaces than the database, as after the restore of that from an older
 * copy. What began as an old version could never be synced, so the store is asked before a workspace is opened for the
 * first time since the start of the server. From then on all is told that happens to it.
 */
import { type Logger, messageOf } from "@mags/core";
import type { NodeRuntime, WorkspaceId } from "@mags/domain";
import { listVersions } from "./find-base.ts";
import type { Workspace } from "./workspace.ts";
import type { WorkspaceRecords } from "./workspace-records.ts";

export interface NewestVersions {
  /**
   * Stores the newest version of a workspace, if that is not what is known. One look at the store for each workspace;
   * one that fails is made again by the next call, and does not reject: what is known is opened then.
   * @returns whether `workspace` is not what is stored any more.
   */
  takeOver(workspace: Workspace): Promise<boolean>;
}

/** A store that is away keeps nobody from a workspace whose files are near. */
const LOOK_MS = 2_000;

export function createNewestVersions({
  workspaces,
  node,
  log,
}: {
  readonly workspaces: Pick<WorkspaceRecords, "recordVersion">;
  readonly node: NodeRuntime;
  readonly log: Logger;
}): NewestVersions {
  const looked = new Set<WorkspaceId>();
  const underWay = new Map<WorkspaceId, Promise<boolean>>();

  async function look({ id, accountId, latest }: Workspace): Promise<boolean> {
    const newest = (await listVersions({ node }, { id, accountId }, { ms: LOOK_MS })).at(-1);
    const isKnown = !newest || newest.seq < (latest?.seq ?? 0) || newest.sha256 === latest?.sha256;
    if (!isKnown) {
      log.warn("workspace.newer_version_found", { workspaceId: id, known: latest?.seq ?? null, found: newest.seq });
      await workspaces.recordVersion(id, newest, new Date(newest.createdAtMs));
    }
    looked.add(id);
    return !isKnown;
  }

  return {
    async takeOver(workspace) {
      const { id } = workspace;
      if (looked.has(id)) return false;
      const looking =
        underWay.get(id) ??
        look(workspace)
          .catch((error: unknown) => {
            log.warn("workspace.newest_version_unknown", { workspaceId: id, error: messageOf(error) });
            return false;
          })
          .finally(() => underWay.delete(id));
      underWay.set(id, looking);
      return looking;
    },
  };
}
