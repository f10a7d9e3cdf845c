import { AppError, isAppError } from "@mags/core";
import { isTerminal, isUuid, type SandboxId } from "@mags/domain";
import type { Job } from "./job.ts";
import type { JobStore } from "./job-store.ts";

/** A job that lives as long as its sandbox. */
export interface OwnerJob {
  readonly job: Job;
  readonly sandboxId: SandboxId;
}

/**
 * The job whose sandbox is meant: the one found, or the owner of the sandbox that it borrows, if it was asked for by name.
 * @throws AppError `validation_failed` when it is not persistent, `job_not_running` when it has ended, `no_vm` when it has
 * no VM yet.
 */
export async function findSandboxJob(
  store: JobStore,
  found: Job,
  key: string,
  { need = "only persistent jobs sleep and wake" }: { /** Why others are refused. */ readonly need?: string } = {},
): Promise<OwnerJob> {
  const job = await ownerOf(store, found, key);
  if (isTerminal(job.status))
    throw new AppError("job_not_running", `job ${job.name} is not running: it has ended (${job.status})`);
  if (!job.sandbox?.owns) throw new AppError("validation_failed", `job ${job.name} has no VM that stays: ${need}`);
  if (job.status === "pending")
    throw new AppError("no_vm", `there is no VM associated with this job yet: ${job.name} waits for one, try again`);
  return { job, sandboxId: job.sandbox.id };
}

/** Whoever asks by the name of a workspace means its VM, not the script that happens to run beside. */
export async function ownerOf(store: Pick<JobStore, "get">, found: Job, key: string): Promise<Job> {
  const { sandbox } = found;
  if (isUuid(key) || !sandbox || sandbox.owns || !sandbox.ownerJobId || sandbox.state === "gone") return found;
  const owner = await store.get(sandbox.ownerJobId);
  return owner && !isTerminal(owner.status) ? owner : found;
}

/**
 * The job as `work` on its sandbox left it.
 * @throws AppError `job_not_running` when it was stopped meanwhile, or what `work` throws.
 */
export async function afterWork(store: JobStore, job: Job, work: () => Promise<void>): Promise<Job> {
  const ended = (cause?: unknown) =>
    new AppError("job_not_running", `job ${job.name} is not running: it has ended meanwhile`, { cause });
  try {
    await work();
  } catch (error) {
    throw isAppError(error, "sandbox_not_found") ? ended(error) : error;
  }
  const after = await store.get(job.id);
  if (!after || isTerminal(after.status)) throw ended();
  return after;
}
