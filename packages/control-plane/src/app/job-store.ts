import type { AccountId, JobDemand, JobId, JobStart, JobStatus, MicroVmId } from "@mags/domain";
import type { Job, JobEvent, NewJob, NewJobEvent } from "./job.ts";

export interface JobFilter {
  readonly status?: JobStatus;
  readonly name?: string;
  readonly label?: { readonly key: string; readonly value: string };
}

export interface LiveJob {
  readonly id: JobId;
  readonly accountId: AccountId;
  readonly image: string;
  readonly size: JobDemand;
  readonly status: JobStatus;
  readonly stopRequested: boolean;
}

export interface JobOutcome {
  readonly status: "completed" | "error";
  readonly exitCode: number | null;
  readonly errorMessage: string | null;
  readonly scriptDurationMs: number | null;
  readonly completedAt: Date;
}

/**
 * The stored jobs. Every change of state and the event that tells of it are one statement: both happen or neither.
 * All calls may be repeated; a change that does not fit the job's present state changes nothing and gives `false`.
 * While the database is away, calls wait for it a little and then reject with `unavailable`.
 */
export interface JobStore {
  /** When it resolves the job is on disk. */
  insert(job: NewJob, events: readonly NewJobEvent[]): Promise<void>;
  get(jobId: JobId): Promise<Job | null>;
  /** By id or by name: a live job first, then the newest. */
  find(accountId: AccountId, idOrName: string): Promise<Job | null>;
  /** Newest first. `total` counts all pages. */
  list(
    accountId: AccountId,
    filter: JobFilter,
    page: { readonly limit: number; readonly offset: number },
  ): Promise<{ readonly jobs: readonly Job[]; readonly total: number }>;
  /** What the node needs to run a job that is still pending; null when it is not. */
  loadStart(jobId: JobId): Promise<JobStart | null>;

  /** pending → running. */
  markStarted(
    jobId: JobId,
    start: { readonly microVmId: MicroVmId; readonly startedAt: Date },
    event: NewJobEvent,
  ): Promise<boolean>;
  /** pending, running → completed, error. */
  markEnded(jobId: JobId, outcome: JobOutcome, event: NewJobEvent): Promise<boolean>;
  /** Writes down that a live job shall be stopped; `false` when that was done before or it has ended. */
  requestStop(jobId: JobId, event: NewJobEvent): Promise<boolean>;

  /** Adds an event once, however often it is repeated with the same `reportId` (a UUID). */
  addEvent(jobId: JobId, event: NewJobEvent, reportId: string): Promise<void>;
  /** Events with an id above `afterId`, oldest first. */
  events(jobId: JobId, afterId: number): Promise<readonly JobEvent[]>;

  /** Every job that has not ended, in order of creation. */
  live(): Promise<readonly LiveJob[]>;
  /** The states of those of these jobs that exist. */
  statuses(jobIds: readonly JobId[]): Promise<ReadonlyMap<JobId, JobStatus>>;
}
