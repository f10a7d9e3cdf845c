import { setTimeout as timeout } from "node:timers/promises";

/** Timers of more milliseconds than a signed 32-bit number holds fire at once. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** Waits `ms`, however long that is; rejects with the signal's reason when aborted. */
export async function sleep(ms: number, options: { readonly signal?: AbortSignal } = {}): Promise<void> {
  try {
    let leftMs = ms;
    for (; leftMs > MAX_TIMER_MS; leftMs -= MAX_TIMER_MS) await timeout(MAX_TIMER_MS, undefined, options);
    await timeout(leftMs, undefined, options);
  } catch (error) {
    options.signal?.throwIfAborted();
    throw error;
  }
}

/** Settles as `promise` does, or rejects with the signal's reason, whichever comes first. The loser is not awaited. */
export function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  if (signal.aborted) {
    promise.catch(() => {});
    return Promise.reject(signal.reason);
  }
  return new Promise<T>((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}

/** As `promise`, but rejects with `onExpiry()` when `ms` have passed. */
export function withDeadline<T>(promise: Promise<T>, ms: number, onExpiry: () => Error): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const timer = setTimeout(() => reject(onExpiry()), ms);
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
