import { AppError } from "@mags/core";
import { isTerminal, type NodeRuntime } from "@mags/domain";
import type { Disks } from "./disks.ts";
import type { Job } from "./job.ts";
import type { JobChangesAsked, JobStore } from "./job-store.ts";
import type { Policies } from "./policies.ts";
import type { SandboxReports } from "./sandbox-reports.ts";

export interface UpdateDeps {
  readonly store: JobStore;
  readonly disks: Disks;
  readonly reports: SandboxReports;
  readonly policies: Policies;
  readonly node: NodeRuntime;
}

export interface UpdateAsked extends JobChangesAsked {
  readonly diskGiB: number | null;
}

/**
 * Changes a job. The disk comes first: it is what can be refused.
 * @throws AppError `validation_failed` that names the field, `job_not_running` when the job has ended.
 */
export async function updateJob(
  deps: UpdateDeps,
  job: Job,
  asked: UpdateAsked,
  { signal }: { readonly signal: AbortSignal },
): Promise<void> {
  const { store, reports, policies, node } = deps;
  checkAsked(job, asked);
  const { diskGiB, ...changes } = asked;
  if (diskGiB !== null) await growDisk(deps, job, diskGiB);
  if (Object.values(changes).some((change) => change !== null)) await store.update(job.id, changes);
  if (!job.sandbox || !changesPolicy(asked)) return;
  const { id } = job.sandbox;
  await policies.push(id);
  if (!asked.noSleep || job.sandbox.state !== "sleeping") return;
  await node.wakeSandbox(id, { reason: "no_sleep", signal });
  await reports.settled(id);
}

const changesPolicy = ({ noSleep, idleMinutes, startupCommand }: UpdateAsked) =>
  noSleep !== null || idleMinutes !== null || startupCommand !== null;

function checkAsked(job: Job, asked: UpdateAsked): void {
  if (!changesPolicy(asked) && asked.diskGiB === null) return;
  if (isTerminal(job.status))
    throw new AppError("job_not_running", `job ${job.name} is not running: it has ended (${job.status})`);
  if (!job.sandbox?.owns)
    throw refused(
      `only labels of job ${job.name} can be changed: its VM does not stay, as that of a persistent job does`,
    );
}

async function growDisk({ disks, node }: UpdateDeps, job: Job, diskGiB: number): Promise<void> {
  const { sandbox, size } = job;
  if (!sandbox || diskGiB === size.diskGiB) return;
  if (diskGiB < size.diskGiB)
    throw refused(`disk_gb: the disk has ${size.diskGiB} GB and cannot be made smaller, to ${diskGiB}: ask for more`);
  const { maxDiskGiB } = node.describe();
  if (diskGiB > maxDiskGiB) throw refused(`disk_gb: this server gives at most ${maxDiskGiB}, not ${diskGiB}`);
  if (job.status === "pending")
    throw new AppError("no_vm", `there is no VM associated with this job yet: ${job.name} waits for one, try again`);
  await disks.grow({ id: sandbox.id, size }, diskGiB);
}

function refused(message: string): AppError {
  return new AppError("validation_failed", message);
}
