import { type Clock, isAppError, type Logger, messageOf } from "@mags/core";
import { type AccountId, type JobId, type NodeRuntime, newJobId } from "@mags/domain";
import { type NewJob, startOf } from "./job.ts";
import { withdrawnOutcome } from "./job-end.ts";
import type { JobQueue } from "./job-queue.ts";
import type { JobStore } from "./job-store.ts";
import type { JobTimings } from "./job-timings.ts";
import type { JobWriter } from "./job-writer.ts";
import { type JobRequest, planJob } from "./new-job.ts";

export interface SubmitDeps {
  readonly store: JobStore;
  readonly node: NodeRuntime;
  readonly writer: JobWriter;
  readonly queue: JobQueue;
  readonly timings: JobTimings;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * Takes a job: it is on disk when this resolves, and the node has been told or the job waits in the queue.
 * @param receivedMs Monotonic time at which the request came in.
 * @throws AppError `validation_failed`; `too_many_requests` or `capacity_exhausted` when too many wait; `unavailable`
 * when the database did not confirm it. What was refused does not run.
 */
export async function submitJob(
  deps: SubmitDeps,
  request: JobRequest,
  options: { readonly accountId: AccountId; readonly receivedMs: number },
): Promise<JobId> {
  const { store, node, queue, timings, clock } = deps;
  const context = { id: newJobId(), accountId: options.accountId, now: clock.now(), node: node.describe() };
  const { job, events } = planJob(request, context);
  queue.enter(job);
  try {
    await store.insert(job, events);
  } catch (error) {
    queue.notStored(job.id);
    if (isAppError(error, "unavailable")) withdraw(deps, job);
    throw error;
  }
  timings.submitted(job.id, options.receivedMs);
  queue.stored(startOf(job));
  return job.id;
}

/** The insert may have taken effect although its answer was lost; what was refused must not run. */
function withdraw({ store, writer, clock, log }: SubmitDeps, job: NewJob): void {
  const { outcome, event } = withdrawnOutcome(clock.now());
  writer
    .change(job.id, () => store.markEnded(job.id, outcome, event))
    .catch((error: unknown) => log.warn("job.withdraw_failed", { jobId: job.id, error: messageOf(error) }));
}
