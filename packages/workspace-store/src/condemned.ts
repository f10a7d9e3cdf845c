/** What a collector saw as garbage, and for how long. @see docs/formats/workspace-store.md */
import { AppError, isAppError, messageOf } from "@mags/core";
import type { ObjectStore } from "@mags/object-store";
import { z } from "zod";
import { decodeJsonObject, isForeign } from "./format/json-object.ts";

const FORMAT = 1;
/** Some 600 000 pieces of garbage. */
const MAX_BYTES = 64 << 20;
/** Of a list beside its names and their ages, and of an entry beside its name. */
const LIST_BYTES = 200;
const ENTRY_BYTES = 20;
const Wire = z.object({
  magic: z.literal("mags-condemned"),
  format: z.literal(FORMAT),
  looked_at: z.iso.datetime(),
  ages_ms: z.record(z.string(), z.int().nonnegative()),
});

export interface Condemned {
  /** When the collector last looked; undefined when it never did. */
  readonly lookedAt: Date | undefined;
  /** What is garbage, by names of the collector's own, to the milliseconds for which it has been that. */
  readonly agesMs: ReadonlyMap<string, number>;
  readonly etag: string | undefined;
  /** Why all ages begin anew, although there is a list; null: they do not. */
  readonly damage: string | null;
}

export interface Judgement {
  readonly lookedAt: Date;
  readonly agesMs: ReadonlyMap<string, number>;
  /** Those that have been garbage for the time of grace, in the order in which they came. */
  readonly due: ReadonlySet<string>;
}

/** Garbage is seen at least so many times before it is removed, unless the time of grace is zero. */
const LOOKS_OF_GRACE = 24;

const HOUR_MS = 3_600_000;
/** How often a collector looks, so that garbage is removed soon after the time of grace and not at many times that. */
export const lookIntervalMs = (graceMs: number): number => Math.min(HOUR_MS, graceMs / LOOKS_OF_GRACE);

/** A list that is damaged is none: it holds nothing but ages. @throws AppError `store_corrupt` for a format that is not known. */
export async function readCondemned(
  store: ObjectStore,
  key: string,
  { signal }: { readonly signal: AbortSignal },
): Promise<Condemned> {
  const none = { lookedAt: undefined, agesMs: new Map<string, number>(), damage: null };
  const bad = (why: string, details = {}) => new AppError("store_corrupt", `${key} is not valid: ${why}`, { details });
  const stored = await store.get(key, { signal }).catch((error: unknown) => {
    if (!isAppError(error, "object_not_found")) throw error;
    return undefined;
  });
  if (!stored) return { ...none, etag: undefined };
  const { bytes, etag } = stored;
  try {
    const { looked_at, ages_ms } = decodeJsonObject(bytes, Wire, { maxBytes: MAX_BYTES, format: FORMAT, bad });
    return { ...none, lookedAt: new Date(looked_at), agesMs: new Map(Object.entries(ages_ms)), etag };
  } catch (error) {
    if (!isAppError(error, "store_corrupt") || isForeign(error)) throw error;
    return { ...none, etag, damage: `${messageOf(error)}: all that it lists is waited for anew` };
  }
}

/** How old each piece of garbage is now: what was not garbage at the last look begins anew. */
export function judge(
  garbage: Iterable<string>,
  before: Condemned,
  { now, graceMs }: { readonly now: Date; readonly graceMs: number },
): Judgement {
  const passedMs = passedSince(before.lookedAt, { now, graceMs });
  const agesMs = new Map<string, number>();
  const due = new Set<string>();
  for (const name of garbage) {
    const age = before.agesMs.get(name);
    const ageMs = age === undefined ? 0 : age + passedMs;
    if (age !== undefined && ageMs >= graceMs) due.add(name);
    agesMs.set(name, ageMs);
  }
  return { lookedAt: now, agesMs, due };
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

/** The oldest ones, as many as a list may have: the others begin when these have gone. */
function boundedAges(agesMs: ReadonlyMap<string, number>): Record<string, number> {
  let bytes = LIST_BYTES;
  const kept: [string, number][] = [];
  for (const [name, ageMs] of [...agesMs].toSorted(([, a], [, b]) => b - a)) {
    bytes += Buffer.byteLength(JSON.stringify(name)) + ENTRY_BYTES;
    if (bytes > MAX_BYTES) break;
    kept.push([name, ageMs]);
  }
  return Object.fromEntries(kept);
}

/** @returns false if another collector wrote it meanwhile: what is due is that one's to remove. */
export async function tryWriteCondemned(
  store: ObjectStore,
  key: string,
  {
    judgement,
    before,
    signal,
  }: { readonly judgement: Judgement; readonly before: Condemned; readonly signal: AbortSignal },
): Promise<boolean> {
  if (before.agesMs.size === 0 && judgement.agesMs.size === 0 && before.damage === null) return true;
  const wire: z.infer<typeof Wire> = {
    magic: "mags-condemned",
    format: FORMAT,
    looked_at: judgement.lookedAt.toISOString(),
    ages_ms: boundedAges(judgement.agesMs),
  };
  const { etag } = before;
  try {
    await store.put(
      key,
      Buffer.from(JSON.stringify(wire)),
      etag === undefined ? { ifAbsent: true, signal } : { ifMatch: etag, signal },
    );
    return true;
  } catch (error) {
    if (!isAppError(error, "precondition_failed")) throw error;
    return false;
  }
}
