import { isAppError, sleep } from "@mags/core";

const PAUSE_MS = 100;

/** Repeats what fails with `unavailable` until it works; other errors pass. Rejects with the signal's reason. */
export async function persistently<T>(
  work: () => Promise<T>,
  { signal }: { readonly signal: AbortSignal },
): Promise<T> {
  for (;;) {
    signal.throwIfAborted();
    try {
      return await work();
    } catch (error) {
      if (!isAppError(error, "unavailable")) throw error;
      await sleep(PAUSE_MS, { signal });
    }
  }
}
