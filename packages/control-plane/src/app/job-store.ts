import type { AccountId, JobDemand, JobId, JobStatus, MicroVmId, SandboxId } from "@mags/domain";
import type { Job, JobEvent, NewJob, NewJobEvent, StoredStart } from "./job.ts";
import type { SandboxState } from "./sandbox.ts";

export interface JobFilter {
  readonly status?: JobStatus;
  readonly name?: string;
  readonly workspaceId?: string;
  readonly label?: { readonly key: string; readonly value: string };
}

export interface LiveJob {
  readonly id: JobId;
  readonly accountId: AccountId;
  readonly image: string;
  readonly size: JobDemand;
  readonly status: JobStatus;
  readonly stopRequested: boolean;
  readonly sandbox: (NonNullable<NewJob["sandbox"]> & { readonly state: SandboxState }) | null;
  /** Of the owner of a sandbox, which lives on. */
  readonly scriptOver: boolean;
}

export interface JobOutcome {
  readonly status: "completed" | "error";
  readonly exitCode: number | null;
  readonly errorMessage: string | null;
  readonly scriptDurationMs: number | null;
  readonly completedAt: Date;
}

/** How the script of an owner ended, whose sandbox stays. */
export interface ScriptEnd {
  readonly exitCode: number | null;
  readonly scriptDurationMs: number | null;
  readonly endedAt: Date;
}

/** What changed, and the sandbox of the job, if it has one; null: nothing did. */
export type Changed = { readonly sandboxId: SandboxId | null } | null;

/** `unstarted`: those whose script has not begun, and those that are to be stopped, as `stopping`. */
export type OwnersToEnd = "all" | "unstarted" | "stopping";

/** Those that are not null. */
export interface JobChangesAsked {
  readonly labels: Readonly<Record<string, string>> | null;
  readonly noSleep: boolean | null;
  readonly idleMinutes: number | null;
  /** An empty one: none. */
  readonly startupCommand: string | null;
}

/**
 * The stored jobs. Every change of state and the event that tells of it are one statement: both happen or neither.
 * All calls may be repeated; a change that does not fit the job's present state changes nothing and says so.
 * While the database is away, calls wait for it a little and then reject with `unavailable`.
 */
export interface JobStore {
  /** A job with a microVM of its own. When it resolves the job is on disk. */
  insert(job: NewJob, events: readonly NewJobEvent[]): Promise<void>;
  get(jobId: JobId): Promise<Job | null>;
  /** By id, by name or by workspace: a live job first, names before workspaces, then the newest. */
  find(accountId: AccountId, key: string): Promise<Job | null>;
  /** Newest first. `total` counts all pages. */
  list(
    accountId: AccountId,
    filter: JobFilter,
    page: { readonly limit: number; readonly offset: number },
  ): Promise<{ readonly jobs: readonly Job[]; readonly total: number }>;
  /** What the node needs to run a job that is still pending; null when it is not. */
  loadStart(jobId: JobId): Promise<StoredStart | null>;

  /** pending → running. */
  markStarted(
    jobId: JobId,
    start: { readonly microVmId: MicroVmId; readonly startedAt: Date },
    event: NewJobEvent,
  ): Promise<Changed>;
  /** pending, running, sleeping → completed, error; of owners of sandboxes only those that `owners` says. Default: all. */
  markEnded(
    jobId: JobId,
    outcome: JobOutcome,
    event: NewJobEvent,
    options?: { readonly owners: OwnersToEnd },
  ): Promise<Changed>;
  /** The script of an owner is over; the job goes on. */
  markScriptEnded(jobId: JobId, end: ScriptEnd, event: NewJobEvent): Promise<Changed>;
  /**
   * Writes down that a live job shall be stopped, and with it the sandbox that it owns; null when that was done before or
   * it has ended.
   */
  requestStop(jobId: JobId, event: NewJobEvent): Promise<Changed>;
  /** Changes what a job that lives was submitted with; labels also of one that has ended. */
  update(jobId: JobId, changes: JobChangesAsked): Promise<void>;

  /** Adds an event once, however often it is repeated with the same `reportId` (a UUID). */
  addEvent(jobId: JobId, event: NewJobEvent, reportId: string): Promise<void>;
  /** Events with an id above `afterId`, oldest first. */
  events(jobId: JobId, afterId: number): Promise<readonly JobEvent[]>;

  /** Every job that has not ended, in order of creation. */
  live(): Promise<readonly LiveJob[]>;
  /** The states of those of these jobs that exist. */
  statuses(jobIds: readonly JobId[]): Promise<ReadonlyMap<JobId, JobStatus>>;
}
