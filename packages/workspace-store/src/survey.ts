/** What an account has in the store. */
import { AppError, isAppError, messageOf } from "@mags/core";
import type { ObjectStore } from "@mags/object-store";
import { forEach } from "./for-each.ts";
import { ANEW, type Head } from "./format/head.ts";
import {
  accountOf,
  headKey,
  packsPrefix,
  type VersionName,
  versionKey,
  type WorkspaceKey,
  workspaceObjectOf,
  workspacesPrefix,
} from "./keys.ts";
import { readHead } from "./lease.ts";

type Signal = { readonly signal: AbortSignal };

export interface StoredVersion {
  readonly workspace: string;
  readonly version: VersionName;
  /** Of the manifest. */
  readonly sizeBytes: number;
}

export interface Survey {
  /** Ids of packs, with their sizes. */
  readonly packs: ReadonlyMap<string, number>;
  /** By workspace. */
  readonly heads: ReadonlyMap<string, Head>;
  /** Workspaces whose heads are lost, damaged or of an unknown format, with why: which versions they have is not known. */
  readonly unreadable: ReadonlyMap<string, string>;
  /** Those whose manifests are there, listed by a head or not. */
  readonly versions: readonly StoredVersion[];
}

const HEADS_AT_ONCE = 8;

/**
 * Packs are listed before versions, and heads are read last: whoever takes a pack of the survey for unused then errs
 * only about versions that were published after it was listed, and those use packs of older ones and of their own.
 */
export async function surveyAccount(
  store: ObjectStore,
  { account, signal }: Signal & { readonly account: string },
): Promise<Survey> {
  const packs = new Map<string, number>();
  const prefix = packsPrefix(account);
  for await (const { key, sizeBytes } of store.list(prefix, { signal })) packs.set(key.slice(prefix.length), sizeBytes);
  const workspaces = new Map<string, VersionName[]>();
  const versions: StoredVersion[] = [];
  for await (const { key, sizeBytes } of store.list(workspacesPrefix(account), { signal })) {
    const found = workspaceObjectOf(key);
    if (!found) continue;
    const { workspace, version } = found;
    const known = workspaces.get(workspace) ?? [];
    workspaces.set(workspace, known);
    if (!version) continue;
    known.push(version);
    versions.push({ workspace, version, sizeBytes });
  }
  const found = new Map<string, Head | undefined>();
  const unreadable = new Map<string, string>();
  await forEach(workspaces, { width: HEADS_AT_ONCE, signal }, async ([workspace, known], { signal }) => {
    try {
      found.set(workspace, await headOf(store, { account, workspace }, { versions: known, signal }));
    } catch (error) {
      if (!isAppError(error, "store_corrupt")) throw error;
      unreadable.set(workspace, messageOf(error));
    }
  });
  const heads = new Map<string, Head>();
  for (const workspace of workspaces.keys()) {
    const head = found.get(workspace);
    if (head) heads.set(workspace, head);
  }
  return { packs, heads, unreadable, versions };
}

/**
 * A head is written before the first manifest, and removed after the last: one that alone is not there is lost.
 * @param options.versions  Whose manifests were seen.
 * @returns undefined when the workspace has gone. @throws AppError `store_corrupt`.
 */
export async function headOf(
  store: ObjectStore,
  key: WorkspaceKey,
  { versions, signal }: Signal & { readonly versions: readonly VersionName[] },
): Promise<Head | undefined> {
  const stored = await readHead(store, key, { signal });
  if (stored) return stored.head;
  for (const version of versions)
    if (await store.head(versionKey(key, version), { signal }))
      throw new AppError("store_corrupt", `${headKey(key)} is lost: the store has versions of this workspace; ${ANEW}`);
  return undefined;
}

/** The accounts that have anything in the store. */
export async function listAccounts(store: ObjectStore, { signal }: Signal): Promise<string[]> {
  const accounts = new Set<string>();
  for await (const { key } of store.list("accounts/", { signal })) {
    const account = accountOf(key);
    if (account !== undefined) accounts.add(account);
  }
  return [...accounts];
}
