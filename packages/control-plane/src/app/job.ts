import type { AccountId, JobCommand, JobId, JobStart, JobStatus, MicroVmId, MicroVmSize } from "@mags/domain";

/** A job as the control plane knows it, without the script. */
export interface Job {
  readonly id: JobId;
  readonly accountId: AccountId;
  readonly name: string;
  readonly status: JobStatus;
  readonly size: MicroVmSize;
  readonly labels: Readonly<Record<string, string>>;
  readonly noSync: boolean;
  /** The microVM that ran it, also after it is gone. */
  readonly microVmId: MicroVmId | null;
  readonly exitCode: number | null;
  readonly errorMessage: string | null;
  readonly scriptDurationMs: number | null;
  readonly createdAt: Date;
  readonly startedAt: Date | null;
  readonly completedAt: Date | null;
}

export interface NewJob {
  readonly id: JobId;
  readonly accountId: AccountId;
  readonly name: string;
  readonly command: JobCommand;
  readonly environment: Readonly<Record<string, string>>;
  readonly size: MicroVmSize;
  readonly timeoutMs: number | null;
  readonly labels: Readonly<Record<string, string>>;
  readonly noSync: boolean;
  readonly fileIds: readonly string[];
  readonly createdAt: Date;
}

export function startOf(job: NewJob): JobStart {
  const { id: jobId, size, command, environment, timeoutMs, fileIds } = job;
  return { jobId, size, command, environment, timeoutMs, sandbox: null, keepsAwake: false, fileIds };
}

/** Something that happened to a job. `data` holds what its text for people is made of. */
export interface NewJobEvent {
  readonly at: Date;
  /** snake_case. */
  readonly name: string;
  readonly data: Readonly<Record<string, unknown>>;
}

export interface JobEvent extends NewJobEvent {
  /** Rises with every event of the installation. */
  readonly id: number;
}
