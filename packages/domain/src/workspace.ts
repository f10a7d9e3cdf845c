/**
 * What the control plane asks of a node about synced workspaces: disks of sandboxes, whose versions lie in the object
 * store.
 */
import type { AccountId, Id } from "./ids.ts";
import type { SandboxId } from "./sandbox.ts";

/** Names a workspace in the object store, whatever its name is. */
export type WorkspaceId = Id<"workspace">;

export interface WorkspaceRef {
  readonly accountId: AccountId;
  readonly workspaceId: WorkspaceId;
}

/** One version of a workspace. The digest is that of its manifest: no other contents have this name. */
export interface VersionName {
  readonly seq: number;
  /** 64 lowercase hex digits. */
  readonly sha256: string;
}

export interface VersionRef extends WorkspaceRef {
  readonly version: VersionName;
}

/** Why a version was published. */
export type SyncReason = "interval" | "stop" | "sleep" | "request" | "promotion" | "fork" | "restore" | "compaction";

export interface WorkspaceVersion extends VersionName {
  readonly createdAtMs: number;
  readonly reason: SyncReason;
  /** Size of the disk. */
  readonly diskBytes: number;
  /** What of the disk is not zeros. */
  readonly dataBytes: number;
  /** What that takes in the store; what versions share is counted with each. */
  readonly storedBytes: number;
}

/** What became of a path between two versions of a workspace. */
export interface FileChange {
  /** Without a slash at its beginning, one character a byte. */
  readonly path: string;
  readonly change: "added" | "removed" | "changed";
  /**
   * What of it changed. Empty for what was added or removed, and for a file of the image that only one of the
   * versions has changed: the other does not have how it is there.
   */
  readonly parts: readonly ("type" | "content" | "target" | "mode" | "owner" | "time" | "attributes")[];
  /** As it is after, or was before it was removed; null: a file of the image. */
  readonly type: "file" | "directory" | "symlink" | "character" | "block" | "fifo" | "socket" | null;
  /** Of files only, where they are there. */
  readonly sizeBefore: number | null;
  readonly sizeAfter: number | null;
}

export interface VersionDiff {
  /** By the bytes of their paths, a folder before what is in it. */
  readonly changes: readonly FileChange[];
  /** There are more than were asked for. */
  readonly more: boolean;
}

/** A workspace with what its head says of it: where a sandbox's disk is published. */
export interface SyncTarget extends WorkspaceRef {
  /** For who reads the store without a database. */
  readonly name: string;
  readonly forkedFrom: { readonly workspaceId: WorkspaceId; readonly name: string; readonly seq: number } | null;
}

/** What the node knows of the syncs of a sandbox that is synced. */
export interface ObservedSync {
  /** The version that the sandbox's disk is, but for what changed since; null before the first was published. */
  readonly version: WorkspaceVersion | null;
  /** When the disk was last seen to be the same as that version. */
  readonly syncedAtMs: number | null;
  /** Bytes that changed since, as far as is known. */
  readonly behindBytes: number;
  /** Why the last sync failed, or what changed may be unsynced, for people; null when all went well. */
  readonly failure: string | null;
  /** Null: none is under way, or it has just begun. */
  readonly running: RunningSync | null;
}

/** How far a sync is. */
export interface RunningSync {
  /** Read of the disk. */
  readonly readBytes: number;
  /** What is to be read in all; 0 while that is not known. */
  readonly totalBytes: number;
  /** What the object store has taken. */
  readonly sentBytes: number;
}

export interface CollectedGarbage {
  readonly removed: number;
  readonly removedBytes: number;
  /** Objects that are garbage and not yet for long enough. */
  readonly waiting: number;
  /** Objects that are damaged or lost: what they may need was left alone, and somebody should look. */
  readonly unreadable: number;
}

/** A workspace whose newest version has the contents of the one before and takes less in the store. */
export interface CompactedWorkspace {
  readonly workspaceId: WorkspaceId;
  readonly version: WorkspaceVersion;
}

export interface CollectedAccount extends CollectedGarbage {
  /** All workspaces that are so now, not only those that became so in this call. */
  readonly compacted: readonly CompactedWorkspace[];
}

export interface WorkspaceRuntime {
  /**
   * Publishes what changed in a sandbox; resolves when the version is in the store. At once when nothing changed. Its signal
   * ends the wait only: a sync that has begun goes on.
   * @returns the newest version, which is what the disk was at some time since the call.
   * @throws AppError `sandbox_not_found`; `validation_failed` when it is not synced; `unavailable` when the store cannot
   *   be reached: what changed stays in the sandbox; `lease_lost` when another writes the workspace now.
   */
  syncSandbox(
    id: SandboxId,
    options: { readonly reason: SyncReason; readonly signal: AbortSignal },
  ): Promise<WorkspaceVersion>;
  /** The versions that are kept, oldest first. @throws AppError `workspace_not_found`, `unavailable`. */
  listVersions(ref: WorkspaceRef, options: { readonly signal: AbortSignal }): Promise<readonly WorkspaceVersion[]>;
  /** As `listVersions`, when nothing that was begun before and given up can be published any more. May be repeated. Throws as that. */
  settleVersions(ref: SyncTarget, options: { readonly signal: AbortSignal }): Promise<readonly WorkspaceVersion[]>;
  /**
   * Files that changed from one version of a workspace to another. It reads of both what it needs, so it may take long; what
   * it read is kept for the next call.
   * @param options.from  Path of a change, to go on behind it.
   * @throws AppError `version_not_found`, `unavailable`, `chunk_corrupt`; `validation_failed` and `not_supported` for a
   *   file system that cannot be read.
   */
  diffVersions(
    ref: WorkspaceRef,
    options: {
      readonly before: VersionName;
      readonly after: VersionName;
      readonly limit: number;
      readonly from: string | null;
      readonly signal: AbortSignal;
    },
  ): Promise<VersionDiff>;
  /**
   * Publishes an older version as the newest. Only while no sandbox stands on the workspace. May be repeated.
   * @param ref.newest  The newest version that its caller knows of: a newer one is not covered up.
   * @throws AppError `workspace_not_found`, `version_not_found`, `lease_held`; `workspace_in_use` when there is a newer
   *   version than `newest`; `unavailable`: it may have been done, or be done yet, until `settleVersions` was called.
   */
  restoreVersion(
    ref: VersionRef & SyncTarget & { readonly newest: VersionName },
    options: { readonly signal: AbortSignal },
  ): Promise<WorkspaceVersion>;
  /**
   * Nobody can open or write it any more; what it takes is removed by `collect`. Repeating it is harmless.
   * @throws AppError `unavailable`.
   */
  deleteWorkspace(ref: WorkspaceRef, options: { readonly signal: AbortSignal }): Promise<void>;
  /**
   * Removes what nothing needs any more from the object store, once that is so for the time of grace, and compacts what
   * is in use and takes too much.
   * @param pinned  Versions of a workspace that something stands on, or may come to.
   * @throws AppError `unavailable`, `store_corrupt`.
   */
  collectGarbage(
    accountId: AccountId,
    options: {
      readonly pinned: (workspaceId: WorkspaceId) => Promise<readonly VersionName[]>;
      readonly signal: AbortSignal;
    },
  ): Promise<CollectedAccount>;
  /**
   * The same for images in the object store, which all accounts share.
   * @throws AppError `unavailable`, `store_corrupt`.
   */
  collectImages(options: { readonly signal: AbortSignal }): Promise<CollectedGarbage>;
}
