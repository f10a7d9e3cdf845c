/** So many small steps take some milliseconds. */
const STEPS = 1_000;

/**
 * Gives way to the rest of the process now and then: what comes out of a cache never waits, and a guest decides how much
 * of it there is.
 * @param options.steps  So many of them take some milliseconds. Default: 1000.
 * @returns to be waited for after each step; it throws the signal's reason.
 */
export function createTurns({
  steps = STEPS,
}: {
  readonly steps?: number;
} = {}): (options: { readonly signal: AbortSignal }) => Promise<void> {
  let taken = 0;
  return async ({ signal }) => {
    signal.throwIfAborted();
    if (++taken % steps !== 0) return;
    await new Promise((resolve) => setImmediate(resolve));
    signal.throwIfAborted();
  };
}
