import type { JobId } from "@mags/domain";

/** `reported`: the node said something that is not stored yet. `stored`: the database has something new. */
export type JobChange = "reported" | "stored";

/** Tells those who wait for a job that there is news of it. It carries no state: whoever is told looks for himself. */
export interface JobChanges {
  notify(jobId: JobId, change: JobChange): void;
  /** @returns the call that ends the subscription. `listener` must not throw. */
  subscribe(jobId: JobId, listener: (change: JobChange) => void): () => void;
}

export function createJobChanges(): JobChanges {
  const listeners = new Map<JobId, Set<(change: JobChange) => void>>();
  return {
    notify(jobId, change) {
      for (const listener of listeners.get(jobId) ?? []) listener(change);
    },
    subscribe(jobId, listener) {
      const own = listeners.get(jobId) ?? new Set();
      listeners.set(jobId, own);
      own.add(listener);
      return () => {
        own.delete(listener);
        if (own.size === 0 && listeners.get(jobId) === own) listeners.delete(jobId);
      };
    },
  };
}
