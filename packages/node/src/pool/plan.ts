/** How many clones should wait, decided from what was asked for lately. Pure. */

export interface PoolLimits {
  readonly minIdle: number;
  /** Most clones that wait, however great the demand was. */
  readonly maxIdle: number;
  /** Of those that wait, the part without a disk. */
  readonly slotShare: number;
}

export interface PoolObservation {
  /** Times (monotonic ms) at which clones were taken, rising. */
  readonly takenAtMs: readonly number[];
  readonly nowMs: number;
  readonly mounted: number;
  readonly slot: number;
  readonly parking: number;
  /** Clones the host's free memory has room for. */
  readonly roomFor: number;
}

/** Demand counts for five minutes: what a burst needed is kept ready for the next. */
export const DEMAND_WINDOW_MS = 5 * 60_000;
const BURST_MS = 10_000;

/** The greatest number of clones taken within any ten seconds of the window. */
export function greatestBurst(takenAtMs: readonly number[], nowMs: number): number {
  const recent = takenAtMs.filter((at) => nowMs - at <= DEMAND_WINDOW_MS);
  let greatest = 0;
  for (let last = 0, first = 0; last < recent.length; last++) {
    while ((recent[last] ?? 0) - (recent[first] ?? 0) > BURST_MS) first++;
    greatest = Math.max(greatest, last - first + 1);
  }
  return greatest;
}

export type PoolAction =
  | { readonly kind: "park"; readonly mounted: boolean }
  | { readonly kind: "retire" }
  | { readonly kind: "none" };

export function planPool(limits: PoolLimits, seen: PoolObservation): PoolAction {
  const target = Math.min(Math.max(limits.minIdle, greatestBurst(seen.takenAtMs, seen.nowMs)), limits.maxIdle);
  const idle = seen.mounted + seen.slot;
  if (idle + seen.parking < target && seen.roomFor > 0) {
    const wantSlot = Math.min(Math.ceil(target * limits.slotShare), target);
    return { kind: "park", mounted: seen.slot >= wantSlot };
  }
  if (idle > target || (seen.roomFor < 0 && idle > 0)) return { kind: "retire" };
  return { kind: "none" };
}
