/**
 * The collector of an account: finds what no version needs, and removes what nobody needed for the time of grace.
 * It may run at any time, beside writers and other collectors. @see docs/formats/workspace-store.md, "Garbage"
 */
import { type Clock, isAppError } from "@mags/core";
import type { ObjectStore } from "@mags/object-store";
import { readCondemned, writeCondemned } from "./condemned.ts";
import { accountPrefix, headKey, packKey, type VersionName, versionKey } from "./keys.ts";
import { surveyAccount } from "./survey.ts";
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
}

export interface Collected {
  readonly removed: readonly string[];
  /** Garbage that has its time of grace before it. */
  readonly waiting: number;
  readonly removedBytes: number;
}

/** Garbage is seen at least so many times before it is removed, unless the time of grace is zero. */
const LOOKS_OF_GRACE = 24;

/** @throws AppError `store_corrupt` if a head or a manifest cannot be read: then nothing is removed. */
export async function collect(store: ObjectStore, options: CollectOptions): Promise<Collected> {
  const { account, graceMs, clock, signal } = options;
  const garbage = await findGarbage(store, options);
  const prefix = accountPrefix(account);
  const before = await readCondemned(store, account, { signal });
  const lookedAt = clock.now();
  const passedMs = passedSince(before.lookedAt, { now: lookedAt, graceMs });
  const agesMs = new Map<string, number>();
  const due: string[] = [];
  for (const key of garbage.keys()) {
    const name = key.slice(prefix.length);
    const age = before.agesMs.get(name);
    const ageMs = age === undefined ? 0 : age + passedMs;
    if (age !== undefined && ageMs >= graceMs) due.push(key);
    agesMs.set(name, ageMs);
  }
  if (before.agesMs.size > 0 || agesMs.size > 0) {
    try {
      await writeCondemned(store, account, { lookedAt, agesMs, etag: before.etag, signal });
    } catch (error) {
      if (!isAppError(error, "precondition_failed")) throw error;
      return { removed: [], waiting: garbage.size, removedBytes: 0 }; // another collector is at it
    }
  }
  for (const key of due) await store.delete(key, { signal });
  return {
    removed: due,
    waiting: garbage.size - due.length,
    removedBytes: due.reduce((sum, key) => sum + (garbage.get(key) ?? 0), 0),
  };
}

/** Keys of objects that nothing needs, in the order in which they may go, with their sizes. */
async function findGarbage(
  store: ObjectStore,
  { account, pinned, signal }: CollectOptions,
): Promise<ReadonlyMap<string, number>> {
  const survey = await surveyAccount(store, { account, signal });
  const garbage = new Map<string, number>();
  const needed = new Set<string>();
  const withVersions = new Set<string>();
  const pins = new Map<string, ReadonlySet<string>>();
  for (const { workspace, version, sizeBytes } of survey.versions) {
    const key = { account, workspace };
    withVersions.add(workspace);
    const head = survey.heads.get(workspace);
    const listed = head?.state === "live" && head.versions.some(({ sha256 }) => sha256 === version.sha256);
    if (!pins.has(workspace)) pins.set(workspace, new Set((await pinned(workspace)).map(({ sha256 }) => sha256)));
    if (!listed && !pins.get(workspace)?.has(version.sha256)) garbage.set(versionKey(key, version), sizeBytes);
    const manifest = await readManifest(store, key, { name: version, signal });
    for (const pack of manifest.packs.keys()) needed.add(pack);
  }
  for (const [pack, sizeBytes] of survey.packs) if (!needed.has(pack)) garbage.set(packKey(account, pack), sizeBytes);
  for (const [workspace, head] of survey.heads)
    if (head.state === "deleted" && !withVersions.has(workspace)) garbage.set(headKey({ account, workspace }), 0);
  return garbage;
}

/**
 * What one look adds to the age of garbage: never more than a part of the time of grace, whatever the wall clock was
 * set to meanwhile.
 */
function passedSince(
  lookedAt: Date | undefined,
  { now, graceMs }: { readonly now: Date; readonly graceMs: number },
): number {
  if (!lookedAt) return 0;
  return Math.round(Math.min(Math.max(now.getTime() - lookedAt.getTime(), 0), graceMs / LOOKS_OF_GRACE));
}
