/**
 * How much one guest may ask of the event loop that serves all of them: a bucket of cost that fills with time. What goes
 * beyond is not refused but has to wait, so that a guest that is merely fast is slowed down.
 */
export interface Allowance {
  /** Takes the cost of what was done. @returns milliseconds until more may be done; 0: go on. */
  spend(cost: number): number;
}

export interface AllowanceOptions {
  readonly perSecond: number;
  /** What may be spent at once after a rest. */
  readonly burst: number;
  readonly nowMs: () => number;
}

export function createAllowance({ perSecond, burst, nowMs }: AllowanceOptions): Allowance {
  let left = burst;
  let countedAtMs = nowMs();
  return {
    spend(cost) {
      const now = nowMs();
      left = Math.min(burst, left + ((now - countedAtMs) * perSecond) / 1_000) - cost;
      countedAtMs = now;
      return left >= 0 ? 0 : Math.ceil((-left * 1_000) / perSecond);
    },
  };
}
