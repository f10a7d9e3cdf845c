/** Keys of the objects of a workspace store. @see docs/formats/workspace-store.md */

/** Names a workspace in the store. Both are UUIDs in lowercase. */
export interface WorkspaceKey {
  readonly account: string;
  readonly workspace: string;
}

/** Names one version: the digest is that of its manifest, so no other contents can have this name. */
export interface VersionName {
  readonly seq: number;
  /** 64 lowercase hex digits. */
  readonly sha256: string;
}

const UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}";
const VERSION = /^(\d{10})-([0-9a-f]{64})$/;
export const PACK_ID = /^[0-9a-f]{32}$/;

export const accountPrefix = (account: string) => `accounts/${account}/`;
export const packsPrefix = (account: string) => `accounts/${account}/packs/`;
export const packKey = (account: string, pack: string) => `accounts/${account}/packs/${pack}`;
export const condemnedKey = (account: string) => `accounts/${account}/condemned`;
export const workspacesPrefix = (account: string) => `accounts/${account}/workspaces/`;
export const headKey = ({ account, workspace }: WorkspaceKey) => `accounts/${account}/workspaces/${workspace}/head`;
export const versionsPrefix = ({ account, workspace }: WorkspaceKey) =>
  `accounts/${account}/workspaces/${workspace}/versions/`;
export const versionKey = (key: WorkspaceKey, { seq, sha256 }: VersionName) =>
  `${versionsPrefix(key)}${String(seq).padStart(10, "0")}-${sha256}`;

const WORKSPACE_OBJECT = new RegExp(`^accounts/(${UUID})/workspaces/(${UUID})/(head|versions/(.*))$`);

/** What a key below `accounts/<account>/workspaces/` is; undefined for a stranger. */
export function workspaceObjectOf(
  key: string,
): (WorkspaceKey & { readonly version: VersionName | undefined }) | undefined {
  const [, account, workspace, , name] = WORKSPACE_OBJECT.exec(key) ?? [];
  if (account === undefined || workspace === undefined) return undefined;
  if (name === undefined) return { account, workspace, version: undefined };
  const [, seq, sha256] = VERSION.exec(name) ?? [];
  return seq === undefined || sha256 === undefined
    ? undefined
    : { account, workspace, version: { seq: Number(seq), sha256 } };
}

/** The account that a key below `accounts/` belongs to; undefined for a stranger. */
export function accountOf(key: string): string | undefined {
  return new RegExp(`^accounts/(${UUID})/`).exec(key)?.[1];
}
