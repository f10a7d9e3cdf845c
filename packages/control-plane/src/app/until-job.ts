import { untilAborted } from "@mags/core";
import type { JobId } from "@mags/domain";
import type { Job } from "./job.ts";
import type { JobChanges } from "./job-changes.ts";
import type { JobStore } from "./job-store.ts";

/** Resolves when a job is as `isSo` says, or is not there. Rejects with the signal's reason. */
export async function untilJob(
  { store, changes }: { readonly store: JobStore; readonly changes: JobChanges },
  jobId: JobId,
  isSo: (job: Job) => boolean,
  { signal }: { readonly signal: AbortSignal },
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const look = () =>
    store.get(jobId).then((job) => {
      if (!job || isSo(job)) resolve();
    }, reject);
  const unsubscribe = changes.subscribe(jobId, (change) => {
    if (change === "stored") look();
  });
  try {
    look();
    await untilAborted(promise, signal);
  } finally {
    unsubscribe();
  }
}
