/** How much of what runs of edges tell has been taken: what is told again, as the answer was lost, is not taken twice. */
export interface Taken {
  /** @param ordinal  Higher than that of all that this run has told before. @returns whether it is told for the first time */
  take(edge: string, ordinal: number): boolean;
}

/** Of those that have told something last. */
const MOST_RUNS = 1_000;

export function createTaken({ most = MOST_RUNS } = {}): Taken {
  const last = new Map<string, number>();
  return {
    take(edge, ordinal) {
      const before = last.get(edge) ?? 0;
      last.delete(edge);
      last.set(edge, Math.max(before, ordinal));
      const [oldest] = last.keys();
      if (last.size > most && oldest !== undefined) last.delete(oldest);
      return ordinal > before;
    },
  };
}
