import { type Denial, OTHER_DESTINATIONS } from "../network/namespace-rules.ts";

/** Events of one job about denials; what happens beyond is counted in the last. */
export const MAX_DENIAL_EVENTS = 50;
const MAX_EVENTS_A_LOOK = 10;
/** While a job runs, a destination is named again when it was denied so many times as often as was told. */
const TOLD_AGAIN_AT = 10;

/**
 * What to tell of the denials so far: each destination when it is first seen, again when its count has grown tenfold, and
 * in the last look with its final count.
 * @param told  What was told before, by destination; taken forward here.
 */
export function planDenialEvents(
  told: Map<string, number>,
  denials: readonly Denial[],
  options: { readonly eventsSoFar: number; readonly last: boolean },
): Denial[] {
  const due = denials.filter(({ destination, count }) => {
    if (destination === OTHER_DESTINATIONS) return false;
    const before = told.get(destination) ?? 0;
    return count > before && (before === 0 || options.last || count >= before * TOLD_AGAIN_AT);
  });
  const room = Math.max(0, Math.min(MAX_EVENTS_A_LOOK, MAX_DENIAL_EVENTS - options.eventsSoFar));
  const events = due.slice(0, room);
  for (const { destination, count } of events) told.set(destination, count);
  if (!options.last) return events;
  const untold = [...due.slice(room), ...denials.filter(({ destination }) => destination === OTHER_DESTINATIONS)];
  const rest = untold.reduce((sum, { destination, count }) => sum + count - (told.get(destination) ?? 0), 0);
  return rest > 0 ? [...events, { destination: OTHER_DESTINATIONS, count: rest }] : events;
}
