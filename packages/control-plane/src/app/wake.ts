import { untilAborted } from "@mags/core";

/** One waiter and many who wake it. A call while nobody waits is kept for the next wait, so none is missed. */
export interface Wake {
  call(): void;
  /** Resolves at the next call, at once if there was one since the last wait. Rejects with the signal's reason. */
  wait(options: { readonly signal: AbortSignal }): Promise<void>;
}

export function createWake(): Wake {
  let called = false;
  let resolve: (() => void) | null = null;
  return {
    call() {
      called = true;
      resolve?.();
    },
    async wait({ signal }) {
      signal.throwIfAborted();
      if (!called) {
        const waiting = Promise.withResolvers<void>();
        resolve = waiting.resolve;
        await untilAborted(waiting.promise, signal).finally(() => {
          resolve = null;
        });
      }
      called = false;
    },
  };
}
