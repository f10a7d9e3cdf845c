import type { AccountId, JobDemand, JobId, JobStatus, MicroVmId, SandboxId, WorkspaceId } from "@mags/domain";
import type { NewJob, NewJobEvent } from "./job.ts";
import type { NewSandbox, Sandbox, SandboxState, SandboxTransition } from "./sandbox.ts";
import type { PolicyFacts } from "./sandbox-policy.ts";
import type { Workspace } from "./workspace.ts";
import type { JobInSandbox, WorkspaceUse } from "./workspace-use.ts";

/** One that has not ended. */
export interface LiveSandbox {
  readonly id: SandboxId;
  readonly accountId: AccountId;
  readonly state: Exclude<SandboxState, "gone">;
  readonly microVmId: MicroVmId | null;
  readonly size: JobDemand;
  /** Or the stop of its owner. */
  readonly releaseRequested: boolean;
  /** The job that it is made for has not ended. */
  readonly makerLives: boolean;
  /** Its disk stands on no version, or not any more. */
  readonly hydrated: boolean;
  /** The workspace that it is published as, and the latest version of that as far as is stored. */
  readonly sync: { readonly workspaceId: WorkspaceId; readonly seq: number | null } | null;
}

export interface NewSandboxState {
  readonly state: "running" | "sleeping";
  readonly microVmId: MicroVmId | null;
  readonly at: Date;
  /** What `mags status` tells of it; null: what it told before. */
  readonly transition: SandboxTransition | null;
}

export interface SandboxEnd {
  readonly at: Date;
  /** What its owner, and jobs that wait for it, end in error with; an owner that is being stopped completes. */
  readonly message: string;
  /** Only if it never had a microVM. */
  readonly onlyStarting?: boolean;
}

export interface ChangedStatus {
  readonly jobId: JobId;
  readonly status: JobStatus;
}

/** A sandbox of a workspace, and what is known of both. */
export interface SandboxInUse {
  readonly sandbox: Sandbox;
  /** Those that have not ended. */
  readonly jobs: readonly JobInSandbox[];
  /** Null: the workspace was never to be synced. */
  readonly workspace: Workspace | null;
}

export type JoinResult =
  | { readonly kind: "joined" }
  /** Nothing was stored. */
  | { readonly kind: "refused"; readonly use: Exclude<WorkspaceUse, { readonly kind: "join" }> }
  /** The workspace has no sandbox any more. */
  | { readonly kind: "gone" };

/**
 * The stored sandboxes and the jobs in them. All calls may be repeated, as those of `JobStore`. Changes of one sandbox's
 * state are to be made one after another: see `SandboxReports`.
 */
export interface SandboxStore {
  /** The sandbox of a workspace; one that is being released does not count. */
  ofWorkspace(accountId: AccountId, workspaceId: string): Promise<Sandbox | null>;
  /**
   * Stores a job together with the sandbox that its start makes.
   * @returns Where nothing was stored: `taken`, its workspace has one already; `changed`, its workspace is not as it was
   * found, or its base is no more.
   */
  insertFirst(
    job: NewJob,
    sandbox: NewSandbox,
    events: readonly NewJobEvent[],
  ): Promise<"stored" | "taken" | "changed">;
  /**
   * Stores a job that runs in the sandbox of its workspace, if `decide` says so, and completes the owner that it takes
   * over from. Workspace, sandbox and its jobs stand still meanwhile. `decide` may run more than once.
   */
  join(job: NewJob, events: readonly NewJobEvent[], decide: (found: SandboxInUse) => WorkspaceUse): Promise<JoinResult>;
  get(sandboxId: SandboxId): Promise<Sandbox | null>;
  policyFacts(sandboxId: SandboxId): Promise<PolicyFacts | null>;
  /** Jobs in it that have not ended. */
  liveJobs(sandboxId: SandboxId): Promise<readonly (JobInSandbox & { readonly status: JobStatus })[]>;

  /** starting → running: its first job has started. */
  markBegun(sandboxId: SandboxId, microVmId: MicroVmId, at: Date): Promise<void>;
  /** Its state, and that of the jobs that run in it; the event goes to the owner, else to its newest job. */
  markState(
    sandboxId: SandboxId,
    change: NewSandboxState,
    event: NewJobEvent,
    reportId: string,
  ): Promise<readonly ChangedStatus[]>;
  /** Tells the owner, else its newest job, once for each `reportId`. */
  tell(sandboxId: SandboxId, event: NewJobEvent, reportId: string): Promise<void>;
  /** It is no more; the event goes to the owner, else to its newest job. Jobs that run in it end by themselves. */
  end(sandboxId: SandboxId, end: SandboxEnd, event: NewJobEvent): Promise<readonly ChangedStatus[]>;
  /**
   * Writes down that one is to be released in which no job lives: from now on its workspace may have another. `false`
   * when there are jobs in it.
   */
  requestRelease(sandboxId: SandboxId, at: Date): Promise<boolean>;
  /** Its disk does not stand on a version any more. */
  markHydrated(sandboxId: SandboxId, at: Date): Promise<void>;
  /** The disk of it and of its live jobs, if that is larger than before. */
  raiseDisk(sandboxId: SandboxId, diskGiB: number): Promise<void>;

  live(): Promise<readonly LiveSandbox[]>;
  /** Those of these that are stored. */
  knownAmong(sandboxIds: readonly SandboxId[]): Promise<ReadonlyMap<SandboxId, "live" | "ended">>;
}
