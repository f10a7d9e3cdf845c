/** What a node tells of syncs. */
import type { SandboxUpdate, SyncReason, WorkspaceVersion } from "@mags/domain";
import type { NewJobEvent } from "./job.ts";

interface Synced {
  readonly version: WorkspaceVersion;
  readonly reason: SyncReason;
  /** When the disk was the same as the version. Missing: when it was told of. */
  readonly syncedAtMs?: number;
}

/** The version that an update tells of; null: of none. */
export function syncOf({ name, data }: SandboxUpdate): Synced | null {
  // As `SandboxUpdate` says of this name.
  return name === "synced" ? (data as unknown as Synced) : null;
}

/** What of it is history; null: a sync as there are many. */
export function syncEvent(update: SandboxUpdate): NewJobEvent | null {
  const at = new Date(update.atMs);
  const sync = syncOf(update);
  if (!sync) return { at, name: update.name, data: update.data };
  if (sync.reason === "interval") return null;
  const { seq, diskBytes, dataBytes, storedBytes } = sync.version;
  return { at, name: update.name, data: { ...update.data, version: seq, diskBytes, dataBytes, storedBytes } };
}
