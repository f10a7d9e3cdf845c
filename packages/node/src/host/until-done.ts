import { sleep } from "@mags/core";

/**
 * Runs `work` until it resolves, after pauses that grow from the first to the longest. Ends quietly when the signal does.
 * Never rejects: each failure goes to `onFailure`.
 */
export async function untilDone(
  work: () => Promise<void>,
  options: {
    readonly firstMs: number;
    readonly longestMs: number;
    readonly onFailure: (error: unknown) => void;
    readonly signal: AbortSignal;
  },
): Promise<void> {
  const { onFailure, signal } = options;
  for (let pauseMs = options.firstMs; !signal.aborted; pauseMs = Math.min(2 * pauseMs, options.longestMs)) {
    try {
      return await work();
    } catch (error) {
      if (signal.aborted) return;
      onFailure(error);
    }
    await sleep(pauseMs, { signal }).catch(() => {}); // the loop sees it
  }
}
