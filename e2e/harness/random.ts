export interface Random {
  /** Evenly from 0 to 1, 1 excluded. */
  next(): number;
  /** A whole number from 0 to `below`, that excluded. */
  integer(below: number): number;
  pick<T>(items: readonly T[]): T | undefined;
}

/** Mulberry32: small, and the same for the same seed. */
export function createRandom(seed: number): Random {
  let state = seed;
  const random: Random = {
    next() {
      state = (state + 0x6d2b79f5) | 0;
      let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
      mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
      return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
    },
    integer: (below) => Math.floor(random.next() * below),
    pick: (items) => items[random.integer(items.length)],
  };
  return random;
}

/** From the environment, so that a run can be repeated; else another each time. */
export function seedFrom(text: string | undefined): number {
  return Number(text ?? Date.now() % 1_000_000);
}
