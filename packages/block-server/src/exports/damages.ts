/** What readers of versions found to be damaged or lost, each once, until the node has heard of it. */
import { type Logger, messageOf, untilAborted } from "@mags/core";
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
  /** Of what was reported before nothing is told again, nor logged. */
  report(found: FoundDamage): void;
  /** Resolves with those of higher numbers, as soon as there are some; those up to `heard` are forgotten. */
  after(heard: number, options: Signal): Promise<readonly Damage[]>;
}

export interface DamagesDeps {
  /** Versions of its workspace that can be read there. */
  readonly soundVersions: (found: FoundDamage) => Promise<readonly number[]>;
  readonly log: Logger;
}

/** More than that tell nothing new. */
const MOST = 200;

export function createDamages({ soundVersions, log }: DamagesDeps): Damages {
  const seen = new Set<string>();
  let untold: Damage[] = [];
  let last = 0;
  let changed = Promise.withResolvers<void>();

  async function add(found: FoundDamage): Promise<void> {
    const { id, version, offset, length } = found;
    const sound = await soundVersions(found).catch(() => []); // the store is away: what is damaged is told all the same
    untold.push({ number: ++last, id, version, offset, length, reason: messageOf(found.error), sound });
    changed.resolve();
    changed = Promise.withResolvers();
  }

  return {
    report(found) {
      const { id, version, offset, error } = found;
      const key = `${id} ${messageOf(error)}`;
      if (seen.has(key) || seen.size >= MOST) return;
      seen.add(key);
      const { workspace } = version;
      log.error("blocks.damaged", { workspace, version: version.version.seq, offset, error: messageOf(error) });
      void add(found);
    },
    async after(heard, { signal }) {
      untold = untold.filter(({ number }) => number > heard);
      while (untold.length === 0) await untilAborted(changed.promise, signal);
      return untold;
    },
  };
}
