import { AppError, type Clock, type Logger, messageOf, untilAborted } from "@mags/core";
import { isTerminal, type JobId, type NodeRuntime } from "@mags/domain";
import type { Job } from "./job.ts";
import type { JobChanges } from "./job-changes.ts";
import { neverStartedOutcome } from "./job-end.ts";
import type { JobQueue } from "./job-queue.ts";
import type { JobStore } from "./job-store.ts";
import type { JobWriter } from "./job-writer.ts";

export interface StopDeps {
  readonly store: JobStore;
  readonly node: NodeRuntime;
  readonly writer: JobWriter;
  readonly queue: Pick<JobQueue, "withdraw" | "leave">;
  readonly changes: JobChanges;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * Ends a job: writes the wish down, so that a restart does not forget it, has the node release the microVM, and waits
 * until the end is stored. What is not done within `patienceMs` goes on without the caller.
 * @returns `ended` before or within `patienceMs`, else `ending`: the wish is stored.
 * @throws AppError `unavailable` when the wish is not stored within `patienceMs`.
 */
export async function stopJob(
  deps: StopDeps,
  job: Job,
  options: { readonly patienceMs: number },
): Promise<"ended" | "ending"> {
  if (isTerminal(job.status)) return "ended";
  const { store, node, writer, queue, clock, log } = deps;
  const patience = AbortSignal.timeout(options.patienceMs);

  async function release(): Promise<void> {
    queue.withdraw(job.id);
    await node.stop(job.id);
    if (!node.observe().some((seen) => seen.jobId === job.id)) {
      // The node never had it, or has told of its end already: then this changes nothing.
      queue.leave(job.id);
      const { outcome, event: end } = neverStartedOutcome(clock.now());
      await writer.change(job.id, () => store.markEnded(job.id, outcome, end));
    }
  }

  const event = { at: clock.now(), name: "stop_requested", data: {} };
  const wished = writer.change(job.id, () => store.requestStop(job.id, event));
  const released = wished.then(release);
  released.catch((error: unknown) => log.warn("job.stop_failed", { jobId: job.id, error: messageOf(error) }));
  await untilAborted(wished, patience).catch((cause: unknown) => {
    if (!patience.aborted) throw cause;
    throw new AppError("unavailable", "the database does not answer now, so the job may run on: stop it again", {
      cause,
    });
  });
  try {
    await untilAborted(released, patience);
    await untilEnded(deps, job.id, { signal: patience });
    return "ended";
  } catch {
    return "ending";
  }
}

/** Resolves when the end of a job is stored: the node reports every end, so it comes. */
async function untilEnded(
  { store, changes }: StopDeps,
  jobId: JobId,
  { signal }: { readonly signal: AbortSignal },
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const look = () =>
    store.get(jobId).then((job) => {
      if (!job || isTerminal(job.status)) resolve();
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
