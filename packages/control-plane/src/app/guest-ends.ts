/** Tells gateways that a guest is over for good: its sandbox was released, or its job has ended. One that sleeps is not. */
import { untilAborted } from "@mags/core";
import { type GuestId, isTerminal, type JobId, type SandboxId, type SshDirectory } from "@mags/domain";
import type { JobChanges } from "./job-changes.ts";
import type { JobStore } from "./job-store.ts";
import type { SandboxStore } from "./sandbox-store.ts";

export interface GuestEnds {
  readonly untilOver: SshDirectory["untilOver"];
  /** The sandbox has ended, and that is stored. */
  ended(sandboxId: SandboxId): void;
}

export interface GuestEndsDeps {
  readonly store: Pick<JobStore, "statuses">;
  readonly sandboxes: Pick<SandboxStore, "knownAmong">;
  readonly changes: Pick<JobChanges, "subscribe">;
}

export function createGuestEnds({ store, sandboxes, changes }: GuestEndsDeps): GuestEnds {
  const listeners = new Map<GuestId, Set<() => void>>();

  /** A guest is a sandbox, or else a job with a microVM of its own. */
  async function isOver(guest: GuestId): Promise<boolean> {
    const known = (await sandboxes.knownAmong([guest as SandboxId])).get(guest as SandboxId);
    if (known !== undefined) return known === "ended";
    const status = (await store.statuses([guest as JobId])).get(guest as JobId);
    return status === undefined || isTerminal(status);
  }

  function subscribe(guest: GuestId, listener: () => void): () => void {
    const own = listeners.get(guest) ?? new Set();
    listeners.set(guest, own.add(listener));
    const unsubscribe = changes.subscribe(guest as JobId, (change) => {
      if (change === "stored") listener();
    });
    return () => {
      unsubscribe();
      own.delete(listener);
      if (own.size === 0) listeners.delete(guest);
    };
  }

  return {
    async untilOver(guest, { signal }) {
      let news = Promise.withResolvers<void>();
      const unsubscribe = subscribe(guest, () => news.resolve());
      try {
        while (!(await isOver(guest))) {
          await untilAborted(news.promise, signal);
          news = Promise.withResolvers();
        }
      } finally {
        unsubscribe();
      }
    },
    ended(sandboxId) {
      for (const listener of listeners.get(sandboxId) ?? []) listener();
    },
  };
}
