/** What needs no sandbox: versions of workspaces, and what is done to them in the object store. */

import type { SyncResult } from "@mags/block-server";
import type {
  SyncTarget,
  VersionName,
  WorkspaceId,
  WorkspaceRef,
  WorkspaceRuntime,
  WorkspaceVersion,
} from "@mags/domain";
import type { Blocks } from "./blocks.ts";

export function createWorkspaceRuntime(blocks: Blocks): Omit<WorkspaceRuntime, "syncSandbox"> {
  return {
    async listVersions(ref, signals) {
      return (await blocks.call("versions", keyOf(ref), signals)).map(versionOf);
    },
    async diffVersions(ref, { before, after, limit, from, signal }) {
      return await blocks.call("diff", { ...keyOf(ref), before, after, limit, from }, { signal });
    },
    async settleVersions(ref, signals) {
      return (await blocks.call("settle", namedKeyOf(ref), signals)).map(versionOf);
    },
    async restoreVersion({ version, newest, ...ref }, signals) {
      return versionOf(await blocks.call("restore", { ...namedKeyOf(ref), version, newest }, signals));
    },
    async deleteWorkspace(ref, signals) {
      await blocks.call("remove", keyOf(ref), signals);
    },
    async collectGarbage(accountId, { pinned, signal }) {
      const workspaces = await blocks.call("workspaces", { account: accountId }, { signal });
      const pins: Record<string, readonly VersionName[]> = {};
      for (const workspace of workspaces) pins[workspace] = await pinned(workspace as WorkspaceId);
      const { compacted, ...counts } = await blocks.call("collect", { account: accountId, pinned: pins }, { signal });
      const versions = Object.entries(compacted).map(([workspace, version]) => ({
        workspaceId: workspace as WorkspaceId,
        version: versionOf(version),
      }));
      return { ...counts, compacted: versions };
    },
    collectImages: (signals) => blocks.call("collectImages", {}, signals),
  };
}

const keyOf = ({ accountId, workspaceId }: WorkspaceRef) => ({ account: accountId, workspace: workspaceId });

/** With what a head says that is written anew. */
export function namedKeyOf({ name, forkedFrom: base, ...ref }: SyncTarget) {
  const forkedFrom = base && { workspace: base.workspaceId, name: base.name, seq: base.seq };
  return { ...keyOf(ref), name, forkedFrom };
}

export function versionOf(version: SyncResult["version"]): WorkspaceVersion {
  return {
    ...{ seq: version.seq, sha256: version.sha256, reason: version.reason },
    createdAtMs: Date.parse(version.created_at),
    ...{ diskBytes: version.disk_bytes, dataBytes: version.data_bytes, storedBytes: version.stored_bytes },
  };
}
