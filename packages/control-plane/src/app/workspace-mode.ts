/**
 * What a job asks of its files: what they begin as, how long they stay, and whether they are synced. Decides and touches
 * nothing. What becomes of it where the workspace has a sandbox already, `planWorkspaceUse` says.
 */
import { AppError } from "@mags/core";
import type { AccountId, SyncTarget, WorkspaceId } from "@mags/domain";
import { isTooSmall, tooSmall } from "./least-disk.ts";
import type { JobRequest } from "./new-job.ts";
import {
  type BaseName,
  baseText,
  GIB,
  latestOf,
  type OpenableVersion,
  type Origin,
  type Workspace,
} from "./workspace.ts";

type Asked = Pick<JobRequest, "workspaceId" | "base" | "persistent" | "noSync">;

/** How a sandbox begins. */
export interface Opening {
  /** Null: with an empty disk. */
  readonly from: OpenableVersion | null;
  /** Null: its disk stays local. */
  readonly syncTo: SyncTarget | null;
  /** It begins as a synced workspace, and what changes is not synced. */
  readonly isLocalCopy: boolean;
}

/** What there is of the workspaces that a job names. */
export interface FoundWorkspaces {
  readonly workspace: Workspace | null;
  /** The version of the base; null: none is asked for, or the workspace has files of its own. */
  readonly base: OpenableVersion | null;
}

/** Where it runs in a microVM of its own, that ends with its script and begins with an empty disk. */
export function needsNoSandbox({ workspaceId, base, persistent }: Asked): boolean {
  return workspaceId === null && base === null && !persistent;
}

export function wantsSync({ workspaceId, persistent, noSync }: Asked): boolean {
  return workspaceId !== null && persistent && !noSync;
}

/** @param newId  Of the workspace that it begins, if it begins one. */
export function planOpening(
  asked: Asked,
  { workspace, base }: FoundWorkspaces,
  context: { readonly accountId: AccountId; readonly newId: WorkspaceId },
): Opening {
  const own = latestOf(workspace);
  const syncs = wantsSync(asked);
  return {
    from: own ?? base,
    syncTo: syncs ? targetOf(asked, { workspace, origin: base }, context) : null,
    isLocalCopy: own !== null && !syncs,
  };
}

/** Where the disk of a job's workspace is published. */
export function targetOf(
  { workspaceId }: Asked,
  { workspace, origin }: { readonly workspace: Workspace | null; readonly origin: Origin | null },
  { accountId, newId }: { readonly accountId: AccountId; readonly newId: WorkspaceId },
): SyncTarget {
  const fork = origin && { workspaceId: origin.workspaceId, name: origin.name, seq: origin.version.seq };
  return {
    ...{ accountId, workspaceId: workspace?.id ?? newId, name: workspaceId ?? "" },
    // One that was never synced has no past.
    forkedFrom: workspace?.latest ? workspace.forkedFrom : fork,
  };
}

/** Where the files of a workspace came from in the beginning, as far as is known. */
export function recordedBase(workspace: Workspace | null, origin: Origin | null): BaseName | null {
  if (workspace?.latest) return workspace.forkedFrom;
  return origin && { name: origin.name, seq: origin.version.seq };
}

/** Whether a workspace that began as `has` may be opened by a job that names `asked` as its base. */
export function isFromBase(has: BaseName | null, asked: BaseName): boolean {
  return has !== null && has.name === asked.name && (asked.seq === null || asked.seq === has.seq);
}

/** Clients look for `already exists`. */
export function otherBaseText(name: string, has: BaseName | null, asked: BaseName): string {
  const began = has === null ? "has no base" : `was forked from ${baseText(has)}`;
  return `workspace ${name} already exists and ${began}, not from ${baseText(asked)}: leave out the base (base_workspace_id), or take another name`;
}

/** @throws AppError `validation_failed` when a base is named that cannot be one, `workspace_in_use` when the workspace has another. */
export function checkBase(asked: Asked, workspace: Workspace | null): void {
  const { workspaceId, base } = asked;
  if (base === null) return;
  if (base.name === workspaceId)
    throw new AppError("validation_failed", `base_workspace_id: ${workspaceId} cannot be its own base: leave it out`);
  if (!workspace?.latest || isFromBase(workspace.forkedFrom, base)) return;
  throw new AppError("workspace_in_use", otherBaseText(workspace.name, workspace.forkedFrom, base));
}

/**
 * What is asked for, with what the files that it begins as need: their image, and a disk that holds them.
 * @throws AppError `validation_failed` when another image or a smaller disk is asked for.
 */
export function openedRequest(request: JobRequest, from: OpenableVersion | null): JobRequest {
  if (!from) return request;
  const { name, image, diskBytes } = from;
  if (request.image !== null && request.image !== image)
    throw new AppError(
      "validation_failed",
      `rootfs_type: the files of workspace ${name} are made for ${image}, not ${request.image}: leave rootfs_type out`,
    );
  const has = Math.ceil(diskBytes / GIB);
  if (isTooSmall(request.diskGiB, has)) throw tooSmall(name, { asked: request.diskGiB, has });
  return {
    ...request,
    image,
    hasImageOfFiles: true,
    diskGiB: Math.max(request.diskGiB ?? 0, has),
  };
}
