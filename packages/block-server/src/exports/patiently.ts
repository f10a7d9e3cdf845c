import { sleep } from "@mags/core";
import { NotNow } from "@mags/nbd";
import { isDamage } from "./damages.ts";

type Signal = { readonly signal: AbortSignal };

const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 1_000;

/**
 * Tries until it succeeds, or what is asked for is known to be no more, or it takes too long: also while an attempt is under
 * way, whose signal is aborted then.
 * @throws NotNow when the time is over, damage as it is, the reason of the signal.
 */
export async function patiently<T>(
  work: (options: Signal) => Promise<T>,
  { patienceMs, signal }: Signal & { readonly patienceMs: number },
): Promise<T> {
  const over = new AbortController();
  const timer = setTimeout(() => over.abort(new Error("it takes too long")), patienceMs);
  const end = () => over.abort(signal.reason);
  signal.addEventListener("abort", end);
  let last: unknown;
  try {
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)) {
      signal.throwIfAborted();
      try {
        return await work(over);
      } catch (error) {
        signal.throwIfAborted();
        if (isDamage(error)) throw error;
        last = over.signal.aborted ? (last ?? error) : error;
      }
      await sleep(pauseMs, over).catch(() => signal.throwIfAborted());
      if (over.signal.aborted) throw new NotNow("the object store is away", { cause: last });
    }
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", end);
  }
}
