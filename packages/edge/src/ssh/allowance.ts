/** How often something may be done: so many times a second. */
const MOST_A_SECOND = 100;

export interface Allowance {
  /** @returns false when it may not be done now. */
  take(): boolean;
}

/** @param now  Monotonic, milliseconds. */
export function createAllowance(now: () => number = () => performance.now()): Allowance {
  let began = Number.NEGATIVE_INFINITY;
  let left = 0;
  return {
    take() {
      if (now() - began >= 1_000) {
        began = now();
        left = MOST_A_SECOND;
      }
      return left-- > 0;
    },
  };
}
