import { setTimeout as timeout } from "node:timers/promises";

/** Waits `ms`; rejects with the signal's reason when aborted. */
export async function sleep(ms: number, options: { readonly signal?: AbortSignal } = {}): Promise<void> {
  try {
    await timeout(ms, undefined, options.signal ? { signal: options.signal } : {});
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
