/** Counts what happens on a connection. Told are the first of each kind and then each hundredth: however many, few notes. */
const EACH = 100;

export interface Tally {
  readonly total: number;
  add(kind: string): void;
}

/** @param tell  Gets how many of the kind there were. */
export function createTally(tell: (kind: string, count: number) => void): Tally {
  const counts = new Map<string, number>();
  let total = 0;
  return {
    get total() {
      return total;
    },
    add(kind) {
      const count = (counts.get(kind) ?? 0) + 1;
      counts.set(kind, count);
      total++;
      if (count === 1 || count % EACH === 0) tell(kind, count);
    },
  };
}
