/**
 * The collector of an account: finds what no version needs, and removes what nobody needed for the time of grace.
 * It may run at any time, beside writers and other collectors. @see docs/formats/workspace-store.md, "Garbage"
 */
import { type Clock, isAppError, messageOf } from "@mags/core";
import type { ObjectStore } from "@mags/object-store";
import { type Condemned, judge, readCondemned, tryWriteCondemned } from "./condemned.ts";
import { forEach } from "./for-each.ts";
import {
  accountPrefix,
  condemnedKey,
  headKey,
  packKey,
  type VersionName,
  versionKey,
  type WorkspaceKey,
  workspacesPrefix,
} from "./keys.ts";
import { createKnownPacks, type KnownPacks } from "./known-packs.ts";
import { readHead } from "./lease.ts";
import { type Survey, surveyAccount } from "./survey.ts";
import { readManifest } from "./version-reader.ts";

type Signal = { readonly signal: AbortSignal };

export interface CollectOptions extends Signal {
  readonly account: string;
  /** How long something must have been garbage, without a break, before it is removed. */
  readonly graceMs: number;
  readonly clock: Clock;
  /**
   * Versions that something stands on. An answer of some time ago will do: only what a head lists can come to be stood on,
   * and what none lists has its time of grace.
   */
  readonly pinned: (workspace: string) => Promise<readonly VersionName[]>;
  /** What earlier looks read; kept up. Default: all is read. */
  readonly known?: KnownPacks;
}

/** Manifests that are read at a time. */
const AT_ONCE = 8;

export interface Unreadable {
  readonly key: string;
  readonly what: string;
}

export interface Collected {
  readonly removed: readonly string[];
  /** Garbage that has its time of grace before it. */
  readonly waiting: number;
  readonly removedBytes: number;
  /**
   * Heads and manifests that are damaged, lost or of an unknown format: what they may need was left alone. And the list of
   * what is condemned when it was damaged: it was begun anew.
   */
  readonly unreadable: readonly Unreadable[];
}

export interface CollectedAccount extends Collected {
  /** Packs that versions of several workspaces name. */
  readonly sharedPacks: ReadonlySet<string>;
}

/** @throws AppError `store_corrupt` if the list of what is condemned is of an unknown format: then nothing is removed. */
export async function collect(store: ObjectStore, options: CollectOptions): Promise<CollectedAccount> {
  const { account, graceMs, clock, signal } = options;
  const { garbage, sharedPacks, ...found } = await findGarbage(store, options);
  const prefix = accountPrefix(account);
  const names = [...garbage.keys()].map((key) => key.slice(prefix.length));
  const before = await readCondemned(store, condemnedKey(account), { signal });
  const unreadable = [...found.unreadable, ...damageOf(before, condemnedKey(account))];
  const judgement = judge(names, before, { now: clock.now(), graceMs });
  if (!(await tryWriteCondemned(store, condemnedKey(account), { judgement, before, signal })))
    return { removed: [], waiting: garbage.size, removedBytes: 0, unreadable, sharedPacks };
  const removed = [...judgement.due].map((name) => `${prefix}${name}`);
  for (const key of removed) await store.delete(key, { signal });
  return {
    removed,
    waiting: garbage.size - removed.length,
    removedBytes: removed.reduce((sum, key) => sum + (garbage.get(key) ?? 0), 0),
    unreadable,
    sharedPacks,
  };
}

export const damageOf = ({ damage }: Condemned, key: string): readonly Unreadable[] =>
  damage === null ? [] : [{ key, what: damage }];

/** Keys of objects that nothing needs, in the order in which they may go, with their sizes. */
async function findGarbage(
  store: ObjectStore,
  { account, pinned, known = createKnownPacks(), signal }: CollectOptions,
): Promise<Pick<CollectedAccount, "unreadable" | "sharedPacks"> & { readonly garbage: ReadonlyMap<string, number> }> {
  const survey = await surveyAccount(store, { account, signal });
  const garbage = new Map<string, number>();
  const withVersions = new Set<string>();
  const pins = new Map<string, ReadonlySet<string>>();
  for (const { workspace, version, sizeBytes } of survey.versions) {
    withVersions.add(workspace);
    if (survey.unreadable.has(workspace)) continue; // its head may list it
    const head = survey.heads.get(workspace);
    const listed = head?.state === "live" && head.versions.some(({ sha256 }) => sha256 === version.sha256);
    if (!pins.has(workspace)) pins.set(workspace, new Set((await pinned(workspace)).map(({ sha256 }) => sha256)));
    if (!listed && !pins.get(workspace)?.has(version.sha256))
      garbage.set(versionKey({ account, workspace }, version), sizeBytes);
  }
  const { packs: needed, unreadable, sharedPacks } = await packsInUse(store, survey, { account, known, signal });
  // What a manifest names that cannot be read is not known, so any pack may be one of its.
  if (unreadable.length === 0)
    for (const [pack, sizeBytes] of survey.packs) if (!needed.has(pack)) garbage.set(packKey(account, pack), sizeBytes);
  for (const [workspace, head] of survey.heads)
    if (head.state === "deleted" && !withVersions.has(workspace)) garbage.set(headKey({ account, workspace }), 0);
  const heads = [...survey.unreadable].map(([workspace, what]) => ({ key: headKey({ account, workspace }), what }));
  return { garbage, unreadable: [...heads, ...unreadable], sharedPacks };
}

/** The packs that manifests name: all that are there, and all that live heads list. */
async function packsInUse(
  store: ObjectStore,
  survey: Survey,
  { account, known, signal }: Signal & { readonly account: string; readonly known: KnownPacks },
): Promise<Pick<CollectedAccount, "unreadable" | "sharedPacks"> & { readonly packs: ReadonlyMap<string, string> }> {
  /** With a workspace that uses it. */
  const packs = new Map<string, string>();
  const sharedPacks = new Set<string>();
  const unreadable: Unreadable[] = [];
  const keyOf = ({ workspace, version }: Listed) => versionKey({ account, workspace }, version);
  const there = new Set(survey.versions.map(keyOf));
  known.keepOnly(there, { prefix: workspacesPrefix(account) });
  const use = (workspace: string, named: Iterable<string>) => {
    for (const pack of named)
      if ((packs.get(pack) ?? workspace) === workspace) packs.set(pack, workspace);
      else sharedPacks.add(pack);
  };
  const read = async (listed: Listed, { signal }: Signal) => {
    const { workspace, version } = listed;
    const key = { account, workspace };
    const name = keyOf(listed);
    const before = there.has(name) ? known.get(name) : undefined;
    if (before) return use(workspace, before);
    try {
      const manifest = await readManifest(store, key, { name: version, signal });
      known.add(name, manifest.packs.keys());
      use(workspace, manifest.packs.keys());
    } catch (error) {
      const gone = isAppError(error, "version_not_found");
      if (!gone && !isAppError(error, "store_corrupt")) throw error;
      // Another collector may have removed it, and then no head lists it.
      const isListed = await mayBeListed(store, key, { version, signal });
      if (!gone || isListed) unreadable.push({ key: name, what: `${messageOf(error)}${isListed ? CURE : ""}` });
    }
  };
  const listed = [...survey.heads].flatMap(([workspace, head]) =>
    (head.state === "live" ? head.versions : []).map((version) => ({ workspace, version })),
  );
  const all: Listed[] = [...survey.versions, ...listed.filter((one) => !there.has(keyOf(one)))];
  await forEach(all, { width: AT_ONCE, signal }, read);
  return { packs, unreadable, sharedPacks };
}

interface Listed {
  readonly workspace: string;
  readonly version: VersionName;
}

/** What helps where a version that a head lists cannot be read; one that none lists goes when its time of grace is over. */
export const CURE =
  "; until it can be read again, or its workspace is restored to a version that can or is deleted, the account's packs are not collected";

/** Looks again: true also when the head cannot be read. */
export async function mayBeListed(
  store: ObjectStore,
  key: WorkspaceKey,
  { version, signal }: Signal & { readonly version: VersionName },
): Promise<boolean> {
  try {
    const head = (await readHead(store, key, { signal }))?.head;
    return head?.state === "live" && head.versions.some(({ sha256 }) => sha256 === version.sha256);
  } catch (error) {
    if (isAppError(error, "store_corrupt")) return true;
    throw error;
  }
}
