/** Synced workspaces: what the client asks of them. */
import { MagsError } from "./errors.ts";
import type { Transport } from "./transport.ts";
import type { Done, RestoredWorkspace, WorkspaceDiff, Workspaces, WorkspaceVersions } from "./wire.generated.ts";

/** What stands on a workspace is stopped first. */
const DELETE_MS = 120_000;
const RESTORE_MS = 120_000;
const DIFF_MS = 90_000;

export async function listWorkspaces(transport: Transport): Promise<Workspaces> {
  return await transport.json({ method: "GET", path: "/mags-workspaces" });
}

export async function deleteWorkspace(transport: Transport, name: string, force: boolean): Promise<Done> {
  const query = { force: force ? 1 : undefined };
  return await transport.json({ method: "DELETE", path: workspacePath(name), query, timeoutMs: DELETE_MS });
}

export async function workspaceVersions(transport: Transport, name: string): Promise<WorkspaceVersions> {
  return await transport.json({ method: "GET", path: workspacePath(name, "/versions") });
}

export interface DiffOptions {
  /** The other version. Default: the latest. */
  readonly with?: number;
  /** Most changes of a reply, up to 10 000. Default: 1000. */
  readonly limit?: number;
  /** `next` of the reply before, to go on behind it. */
  readonly after?: string;
}

export async function diffVersions(
  transport: Transport,
  name: string,
  options: DiffOptions & { readonly version: number },
): Promise<WorkspaceDiff> {
  const { version, ...query } = options;
  const path = workspacePath(name, `/versions/${version}/diff`);
  return await transport.json({ method: "GET", path, query: { ...query }, timeoutMs: DIFF_MS });
}

export async function restoreWorkspace(
  transport: Transport,
  name: string,
  version: number,
): Promise<RestoredWorkspace> {
  const path = workspacePath(name, "/restore");
  return await transport.json({ method: "POST", path, body: { version }, timeoutMs: RESTORE_MS });
}

/** @throws MagsError like the server's for an unknown workspace, for texts that cannot stand in a path. */
function workspacePath(name: string, rest = ""): string {
  if (/^\.{0,2}$/.test(name))
    throw new MagsError(`there is no synced workspace "${name}"`, { statusCode: 404, code: "workspace_not_found" });
  return `/mags-workspaces/${encodeURIComponent(name)}${rest}`;
}
