import type { workspaces } from "@mags/api-schema";
import type { ObservedSync, WorkspaceVersion } from "@mags/domain";
import type { ListedWorkspace } from "../app/workspace-records.ts";

/** @param seen  What the node knows of its syncs; null: it is open nowhere. */
export function workspaceToWire(workspace: ListedWorkspace, seen: ObservedSync | null): workspaces.WorkspaceWire {
  const { name, latest, forkedFrom: base } = workspace;
  return {
    ...{ workspace_id: name, id: name, version: latest?.seq ?? null },
    ...{ size_bytes: latest?.dataBytes ?? 0, stored_bytes: latest?.storedBytes ?? 0 },
    created_at: workspace.createdAt.toISOString(),
    updated_at: workspace.updatedAt.toISOString(),
    last_synced_at: syncedAt(workspace.lastSyncedAt, seen),
    active_request_id: workspace.activeJobId,
    base: base && { workspace_id: base.name, version: base.seq },
    ...{ behind_bytes: seen?.behindBytes ?? 0, failure: seen?.failure ?? null },
  };
}

/** That nothing changed since is not stored each time. */
export function syncedAt(stored: Date | null, seen: ObservedSync | null): string | null {
  const latest = Math.max(stored?.getTime() ?? 0, seen?.syncedAtMs ?? 0);
  return latest === 0 ? null : new Date(latest).toISOString();
}

export function versionToWire(version: WorkspaceVersion): workspaces.WorkspaceVersionWire {
  return {
    ...{ version: version.seq, sha256: version.sha256, created_at: new Date(version.createdAtMs).toISOString() },
    ...{ reason: version.reason, size_bytes: version.dataBytes, stored_bytes: version.storedBytes },
    disk_bytes: version.diskBytes,
  };
}
