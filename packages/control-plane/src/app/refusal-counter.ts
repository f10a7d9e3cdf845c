/** Whoever tries keys by the thousand fills no log: what goes beyond a few attempts a minute is only counted. */
const WINDOW_MS = 60_000;
const MOST = { singleOfAddress: 20, single: 400, addresses: 200 };

export interface CountedRefusals {
  /** Null: of those that were too many to be told apart. */
  readonly address: string | null;
  readonly attempts: number;
}

export interface RefusalCounter {
  /** @returns true: it is told by itself; false: its attempts were counted. */
  admit(refusal: { readonly address: string | null; readonly attempts: number }, nowMs: number): boolean;
  /** What was counted, once a minute has passed since the first of them; `now` does not wait for that. */
  take(nowMs: number, options?: { readonly now: boolean }): readonly CountedRefusals[];
  /** Something is known of the last minute. */
  readonly active: boolean;
}

/** Times are monotonic, milliseconds. */
export function createRefusalCounter(): RefusalCounter {
  const seen = new Map<string | null, { single: number; counted: number }>();
  let single = 0;
  let begunMs = 0;
  return {
    admit({ address, attempts }, nowMs) {
      if (seen.size === 0) begunMs = nowMs;
      const key = seen.has(address) || seen.size < MOST.addresses ? address : null;
      const entry = seen.get(key) ?? { single: 0, counted: 0 };
      seen.set(key, entry);
      if (entry.single >= MOST.singleOfAddress || single >= MOST.single) {
        entry.counted += attempts;
        return false;
      }
      entry.single++;
      single++;
      return true;
    },
    take(nowMs, { now } = { now: false }) {
      if (!now && nowMs - begunMs < WINDOW_MS) return [];
      const counted = [...seen].map(([address, entry]) => ({ address, attempts: entry.counted }));
      seen.clear();
      single = 0;
      return counted.filter(({ attempts }) => attempts > 0);
    },
    get active() {
      return seen.size > 0;
    },
  };
}
