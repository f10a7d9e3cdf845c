/** What readers of versions found to be damaged or lost, each pack of each reader once, until the node has heard of it. */
import { createGate, isAppError, type Logger, messageOf, untilAborted } from "@mags/core";
import type { Damage, VersionKey } from "../calls.ts";

type Signal = { readonly signal: AbortSignal };

export interface FoundDamage {
  /** Under which the version is served. */
  readonly id: string;
  readonly version: VersionKey;
  /** What was read, in bytes of the disk: the damage is somewhere in it. */
  readonly offset: number;
  readonly length: number;
  readonly error: unknown;
}

export interface Damages {
  /** Of what was reported before nothing is told again, nor logged. Of many of one id the first are told, all are logged. */
  report(found: FoundDamage): void;
  /** Nothing reads under that id any more. */
  forget(id: string): void;
  /** Resolves with those of higher numbers, as soon as there are some; those up to `heard` are forgotten. */
  after(heard: number, options: Signal): Promise<readonly Damage[]>;
}

export interface DamagesDeps {
  /** Versions of its workspace that can be read there. */
  readonly soundVersions: (found: FoundDamage) => Promise<readonly number[]>;
  readonly log: Logger;
}

/** Of one id: more than that tell nothing new. */
const MOST_TOLD = 50;
/** Searches for sound versions at a time: each reads from the store. */
const SEARCHES = 2;

/** It is proven that what was to be read is damaged or lost. */
export const isDamage = (error: unknown): boolean =>
  isAppError(error, "chunk_corrupt") || isAppError(error, "store_corrupt");

export function createDamages({ soundVersions, log }: DamagesDeps): Damages {
  /** By id: packs, or what else names what is damaged. */
  const seen = new Map<string, Set<unknown>>();
  const searches = createGate(SEARCHES);
  let untold: Damage[] = [];
  let last = 0;
  let changed = Promise.withResolvers<void>();

  async function add(found: FoundDamage): Promise<void> {
    const { id, version, offset, length } = found;
    const leave = await searches.enter();
    const search = soundVersions(found).finally(leave);
    const sound = await search.catch(() => []); // the store is away: what is damaged is told all the same
    untold.push({ number: ++last, id, version, offset, length, reason: messageOf(found.error), sound });
    changed.resolve();
    changed = Promise.withResolvers();
  }

  return {
    report(found) {
      const { id, version, offset, error } = found;
      const known = seen.get(id) ?? new Set();
      const what = (isAppError(error) && error.details.pack) || messageOf(error);
      if (known.has(what)) return;
      seen.set(id, known.add(what));
      const { workspace } = version;
      log.error("blocks.damaged", { workspace, version: version.version.seq, offset, error: messageOf(error) });
      if (known.size <= MOST_TOLD) void add(found);
    },
    forget: (id) => void seen.delete(id),
    async after(heard, { signal }) {
      untold = untold.filter(({ number }) => number > heard);
      while (untold.length === 0) await untilAborted(changed.promise, signal);
      return untold;
    },
  };
}
