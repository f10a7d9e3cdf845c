import { untilAborted } from "@mags/core";
import type { NbdServerLimits } from "./limits.ts";

/** What one connection has under way. Its requests enter one after the other, and leave in any order. */
export interface Pending {
  /** Resolves when there is room; with the call that leaves again. Rejects with the signal's reason. */
  enter(bytes: number, options: { readonly signal: AbortSignal }): Promise<() => void>;
  /** Resolves when nothing is under way any more. */
  idle(options: { readonly signal: AbortSignal }): Promise<void>;
  readonly requests: number;
}

export function createPending(limits: Pick<NbdServerLimits, "maxPendingBytes" | "maxPendingRequests">): Pending {
  let bytes = 0;
  let requests = 0;
  let change = Promise.withResolvers<void>();

  return {
    async enter(more, { signal }) {
      const full = () =>
        requests >= limits.maxPendingRequests || (requests > 0 && bytes + more > limits.maxPendingBytes);
      while (full()) await untilAborted(change.promise, signal);
      bytes += more;
      requests++;
      return () => {
        bytes -= more;
        requests--;
        change.resolve();
        change = Promise.withResolvers<void>();
      };
    },
    async idle({ signal }) {
      while (requests > 0) await untilAborted(change.promise, signal);
    },
    get requests() {
      return requests;
    },
  };
}
