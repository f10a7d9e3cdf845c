import type { AccountId, JobId, JobStatus, SandboxId, VersionName, WorkspaceId, WorkspaceVersion } from "@mags/domain";
import type { Workspace } from "./workspace.ts";

/** A sandbox that has not ended and needs a workspace: it is its disk, or was made from a version of it. */
export interface StandingSandbox {
  readonly id: SandboxId;
  /** The name of the workspace whose files are in it. */
  readonly workspaceId: string | null;
  /** The workspace that its disk is published as; null: its disk is local. */
  readonly syncsTo: WorkspaceId | null;
  /** Its newest job, a live one first. */
  readonly job: { readonly id: JobId; readonly name: string; readonly status: JobStatus } | null;
}

export interface ListedWorkspace extends Workspace {
  /** The newest live job in its sandbox. */
  readonly activeJobId: JobId | null;
  readonly sandboxId: SandboxId | null;
}

/** What was begun and may have been cut off. */
export interface UnfinishedWorkspaces {
  readonly deleted: readonly Workspace[];
  readonly restoring: readonly Workspace[];
}

/** The stored workspaces. All calls may be repeated. Those that were deleted are not found by their names. */
export interface WorkspaceRecords {
  find(accountId: AccountId, name: string): Promise<Workspace | null>;
  /** Null: it is deleted, and its name may be another's. */
  nameOf(id: WorkspaceId): Promise<string | null>;
  /** Those that have a version or a sandbox, by name. */
  list(accountId: AccountId): Promise<readonly ListedWorkspace[]>;
  /** Takes a version down, if it is not older than what is known. `syncedAt`: when the disk was the same as it. */
  recordVersion(id: WorkspaceId, version: WorkspaceVersion, syncedAt: Date): Promise<void>;
  /** As `recordVersion`, of the workspace that a sandbox is synced to, if it is. */
  recordSync(sandboxId: SandboxId, version: WorkspaceVersion, syncedAt: Date): Promise<void>;
  /** Takes down that its newest version is a compaction, unless it is open: what it is published as then, its syncs tell. */
  recordCompaction(id: WorkspaceId, version: WorkspaceVersion): Promise<void>;
  /**
   * Deletes it, unless something stands on it.
   * @returns what stands on it; nothing: it is deleted, and its name free.
   */
  delete(id: WorkspaceId, at: Date): Promise<readonly StandingSandbox[]>;
  /** The node has been told. */
  markRemoved(id: WorkspaceId, at: Date): Promise<void>;
  /**
   * From now on nobody opens it, unless it is open.
   * @returns what holds it open; nothing: the restore may begin.
   */
  beginRestore(id: WorkspaceId, at: Date): Promise<readonly StandingSandbox[]>;
  endRestore(id: WorkspaceId): Promise<void>;
  unfinished(): Promise<UnfinishedWorkspaces>;
  /** Those that have, or had, workspaces. */
  accounts(): Promise<readonly AccountId[]>;
  /** Versions of it that disks of sandboxes were made from, and the one that it is opened as. */
  pins(id: WorkspaceId): Promise<readonly VersionName[]>;
}
