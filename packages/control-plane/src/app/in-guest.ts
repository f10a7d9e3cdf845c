/** Working in the microVM of a job. */
import { AppError, isAppError } from "@mags/core";
import { type GuestId, isTerminal } from "@mags/domain";
import type { Job } from "./job.ts";
import { guestOf } from "./sandbox.ts";

/**
 * @param work  Asked even if the job is still recorded as pending: the node knows first when it runs.
 * @throws AppError `job_not_running` or `no_vm`, with the words that clients look for: `not running` and `no VM
 * associated with this job`; or what `work` throws.
 */
export async function inGuest<T>(job: Job, work: (guest: GuestId) => Promise<T>): Promise<T> {
  if (isTerminal(job.status))
    throw new AppError("job_not_running", `job ${job.name} is not running: it has ended (${job.status})`);
  try {
    return await work(guestOf(job));
  } catch (error) {
    throw explainAbsence(error, job);
  }
}

function explainAbsence(cause: unknown, { name, status }: Job): unknown {
  if (isAppError(cause, "microvm_lost"))
    return new AppError("job_not_running", `job ${name} is not running: it ended meanwhile`, { cause });
  if (!isAppError(cause, "job_not_running")) return cause;
  if (status === "pending")
    return new AppError("no_vm", `there is no VM associated with this job yet: ${name} waits for one, try again`, {
      cause,
    });
  return new AppError("job_not_running", `job ${name} is not running: it is ending`, { cause });
}
