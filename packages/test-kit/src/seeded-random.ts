/** Pseudo-random choices that come again with the same seed (Mulberry32), for tests that draw millions of them. */
export interface SeededRandom {
  /** 0 ≤ number < 1. */
  next(): number;
  /** An integer from `min` to `max`, both included. */
  between(min: number, max: number): number;
  chance(probability: number): boolean;
  pick<T>(from: readonly T[]): T;
  bytes(length: number): Buffer;
}

export function createSeededRandom(seed: number): SeededRandom {
  let state = seed;

  function next(): number {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  }

  const between = (min: number, max: number) => min + Math.floor(next() * (max - min + 1));
  return {
    next,
    between,
    chance: (probability) => next() < probability,
    pick<T>(from: readonly T[]): T {
      if (from.length === 0) throw new Error("nothing to pick from");
      return from[between(0, from.length - 1)] as T; // the index is within
    },
    bytes(length) {
      const bytes = Buffer.alloc(length);
      for (let at = 0; at < length; at++) bytes.writeUInt8(between(0, 255), at);
      return bytes;
    },
  };
}

/** The seed to use: that of the environment, to see a failure again, or a new one. Print it. */
export function seedFrom(environment: string | undefined): number {
  return environment === undefined ? Date.now() % 1_000_000_000 : Number(environment);
}
