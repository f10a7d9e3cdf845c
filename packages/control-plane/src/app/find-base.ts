import { AppError, isAppError } from "@mags/core";
import type { AccountId, NodeRuntime, WorkspaceVersion } from "@mags/domain";
import type { NewestVersions } from "./newest-versions.ts";
import type { SandboxStore } from "./sandbox-store.ts";
import { type BaseName, latestOf, type OpenableVersion, type Workspace } from "./workspace.ts";
import type { WorkspaceRecords } from "./workspace-records.ts";

export interface FindBaseDeps {
  readonly workspaces: WorkspaceRecords;
  readonly sandboxes: SandboxStore;
  readonly newestVersions: NewestVersions;
  readonly node: NodeRuntime;
}

/** For the list of versions, which the object store has. */
const LIST_MS = 10_000;

/**
 * The version that a fork begins as.
 * @throws AppError `validation_failed` that says what to do when there is none, `unavailable` when an older one is asked
 * for and the object store is away.
 */
export async function findBase(deps: FindBaseDeps, accountId: AccountId, base: BaseName): Promise<OpenableVersion> {
  const workspace = await findNewest(deps, accountId, base.name);
  const latest = latestOf(workspace);
  if (!workspace || !latest) throw refused(await whyNone(deps, accountId, base.name, workspace));
  if (base.seq === null || base.seq === latest.version.seq) return latest;
  const { seq } = base;
  const version = (await listVersions(deps, workspace)).find((kept) => kept.seq === seq);
  if (!version)
    throw refused(
      `there is no version ${seq} of workspace ${base.name} any more, or yet: see mags workspace versions ${base.name}`,
    );
  const { sha256, diskBytes } = version;
  return { ...latest, diskBytes, version: { seq, sha256 } };
}

/** A workspace that is about to be opened, or a base, with its newest version. */
export async function findNewest(
  { workspaces, newestVersions }: Pick<FindBaseDeps, "workspaces" | "newestVersions">,
  accountId: AccountId,
  name: string,
): Promise<Workspace | null> {
  const workspace = await workspaces.find(accountId, name);
  if (!workspace || !(await newestVersions.takeOver(workspace))) return workspace;
  return workspaces.find(accountId, name);
}

/**
 * The versions that the object store keeps, oldest first; none when nothing was ever published.
 * @param options.ms  How long that may take.
 * @throws AppError `unavailable` when the object store is away.
 */
export async function listVersions(
  { node }: Pick<FindBaseDeps, "node">,
  { id: workspaceId, accountId }: Pick<Workspace, "id" | "accountId">,
  { ms = LIST_MS } = {},
): Promise<readonly WorkspaceVersion[]> {
  try {
    return await node.listVersions({ accountId, workspaceId }, { signal: AbortSignal.timeout(ms) });
  } catch (error) {
    if (isAppError(error, "workspace_not_found")) return [];
    throw error;
  }
}

async function whyNone(
  { sandboxes }: FindBaseDeps,
  accountId: AccountId,
  name: string,
  workspace: Workspace | null,
): Promise<string> {
  if (workspace) return `workspace ${name} was never synced: sync it first: mags sync ${name}`;
  if (await sandboxes.ofWorkspace(accountId, name))
    return `workspace ${name} is local: sync it first: mags run -w ${name} -p true, then mags sync ${name}`;
  return `there is no workspace ${name}: make it with mags new ${name} -p, then mags sync ${name}`;
}

function refused(message: string): AppError {
  return new AppError("validation_failed", `base_workspace_id: ${message}`);
}
