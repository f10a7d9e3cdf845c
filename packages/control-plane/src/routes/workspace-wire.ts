import type { workspaces } from "@mags/api-schema";
import type { FileChange, ObservedSync, WorkspaceVersion } from "@mags/domain";
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
    ...{ behind_bytes: seen?.behindBytes ?? 0, failure: seen?.failure ?? null, running: runningToWire(seen) },
  };
}

export function runningToWire(seen: ObservedSync | null): workspaces.WorkspaceWire["running"] {
  const running = seen?.running;
  if (!running) return null;
  return { read_bytes: running.readBytes, total_bytes: running.totalBytes, sent_bytes: running.sentBytes };
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

/** The path as text, and its bytes where they are none. */
export function changeToWire({
  path,
  change,
  parts,
  type,
  sizeBefore,
  sizeAfter,
}: FileChange): workspaces.FileChangeWire {
  const bytes = Buffer.from(path, "latin1");
  const text = bytes.toString("utf8");
  return {
    path: text,
    ...(!Buffer.from(text).equals(bytes) && { path_base64: bytes.toString("base64") }),
    ...{ change, parts: [...parts], type, size_before: sizeBefore, size_after: sizeAfter },
  };
}

/** Where a list ended: clients pass it on as it is. */
export const placeToWire = (path: string) => Buffer.from(path, "latin1").toString("base64url");
export const placeFromWire = (place: string) => Buffer.from(place, "base64url").toString("latin1");
