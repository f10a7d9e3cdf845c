/** Tells gateways that a guest is over for good: its sandbox was released, or its job has ended. One that sleeps is not. */
import { untilAborted } from "@mags/core";
import type { GuestId, JobId, SandboxId, SshDirectory } from "@mags/domain";
import { createGuestQuestions, type GuestQuestionsDeps } from "./guest-questions.ts";
import type { JobChanges } from "./job-changes.ts";

export interface GuestEnds {
  readonly untilOver: SshDirectory["untilOver"];
  /** The sandbox has ended, and that is stored. */
  ended(sandboxId: SandboxId): void;
}

export interface GuestEndsDeps extends GuestQuestionsDeps {
  readonly changes: Pick<JobChanges, "subscribe">;
}

export function createGuestEnds({ changes, ...stores }: GuestEndsDeps): GuestEnds {
  const isOver = createGuestQuestions(stores);
  const listeners = new Map<GuestId, Set<() => void>>();

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
        while (!(await isOver(guest, { signal }))) {
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
