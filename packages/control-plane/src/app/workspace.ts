import type { AccountId, SandboxId, SyncTarget, VersionName, VersionRef, WorkspaceId } from "@mags/domain";

/** What is known of the newest version. */
export interface LatestVersion extends VersionName {
  readonly diskBytes: number;
  readonly dataBytes: number;
  readonly storedBytes: number;
}

/** A synced workspace as the control plane knows it. */
export interface Workspace {
  readonly id: WorkspaceId;
  readonly accountId: AccountId;
  readonly name: string;
  /** That its disk is made for. */
  readonly image: string;
  /** Null: it was never synced. */
  readonly latest: LatestVersion | null;
  readonly forkedFrom: SyncTarget["forkedFrom"];
  readonly createdAt: Date;
  readonly updatedAt: Date;
  readonly lastSyncedAt: Date | null;
  /** An older version is being made the newest: nobody may open it. */
  readonly restoring: boolean;
  /** The sandbox that is being released and whose last changes are still to be published. */
  readonly releasing: SandboxId | null;
}

/** The version that a disk was made from. */
export interface Origin extends VersionRef {
  /** Of the workspace. */
  readonly name: string;
}

/** An origin that is about to be opened. */
export interface OpenableVersion extends Origin {
  readonly image: string;
  readonly diskBytes: number;
}

/** `name` or `name@seq`. */
export interface BaseName {
  readonly name: string;
  /** Null: the latest version. */
  readonly seq: number | null;
}

export const GIB = 1024 ** 3;

export function baseText({ name, seq }: BaseName): string {
  return seq === null ? name : `${name}@${seq}`;
}

/** The latest version of a workspace, if it has one. */
export function latestOf(workspace: Workspace | null): OpenableVersion | null {
  if (!workspace?.latest) return null;
  const { id: workspaceId, accountId, name, image, latest } = workspace;
  const { seq, sha256, diskBytes } = latest;
  return { accountId, workspaceId, name, image, diskBytes, version: { seq, sha256 } };
}
