import { setImmediate } from "node:timers/promises";

/** So many small steps take some milliseconds. */
const STEPS = 1_000;

/**
 * Gives way to the rest of the process now and then: what comes out of a cache never waits, and a guest decides how much
 * of it there is.
 */
export function createTurns({ signal }: { readonly signal: AbortSignal }): () => Promise<void> {
  let steps = 0;
  return async () => {
    if (++steps % STEPS === 0) await setImmediate(undefined, { signal });
  };
}
