import type {
  AccountId,
  GuestId,
  JobId,
  MicroVmId,
  MicroVmSize,
  SandboxId,
  SyncTarget,
  WorkspaceId,
} from "@mags/domain";
import type { Job } from "./job.ts";
import type { OpenableVersion, Origin } from "./workspace.ts";

/** `starting`: the job that it is made for waits for its microVM. `gone`: released, or lost with its disk. */
export type SandboxState = "starting" | "running" | "sleeping" | "gone";

/** The last time it went to sleep or woke. */
export interface SandboxTransition {
  readonly name: string;
  readonly reason: string | null;
  /** RFC 3339. */
  readonly at: string;
}

/** A sandbox as the control plane knows it. It belongs to a workspace, or to the one job that it was made for. */
export interface Sandbox {
  readonly id: SandboxId;
  readonly accountId: AccountId;
  readonly workspaceId: string | null;
  readonly state: SandboxState;
  /** Sleeps when it is idle, also without an owner; else it is released. */
  readonly kept: boolean;
  /** The live persistent job, whose stop releases it. */
  readonly ownerJobId: JobId | null;
  readonly microVmId: MicroVmId | null;
  readonly size: MicroVmSize;
  /** The version that its disk was made from; null: it began empty. */
  readonly from: Origin | null;
  /** The workspace that its disk is published as; null: its disk is local. */
  readonly syncsTo: WorkspaceId | null;
}

export interface NewSandbox {
  readonly id: SandboxId;
  readonly subdomain: string;
  readonly from: OpenableVersion | null;
  readonly syncTo: SyncTarget | null;
  /** What its workspace was when this was decided; null: there was none. */
  readonly found: { readonly id: WorkspaceId; readonly seq: number | null } | null;
}

/** What a job has of the sandbox it runs in. */
export interface JobSandbox {
  readonly id: SandboxId;
  /** It is made by the start of this job. */
  readonly makes: boolean;
  /** This job keeps it alive; another only borrows it. */
  readonly owns: boolean;
  readonly subdomain: string;
  /** Where its URL leads to; null: nobody has asked for that. */
  readonly urlPort: number | null;
  readonly isUrlPrivate: boolean;
  readonly state: SandboxState;
  readonly ownerJobId: JobId | null;
  readonly lastTransition: SandboxTransition | null;
  /** Null: its disk is local. */
  readonly sync: JobSync | null;
}

/** What is stored of the syncs of a sandbox. */
export interface JobSync {
  readonly workspaceId: WorkspaceId;
  /** The latest version; null: none was published yet. */
  readonly seq: number | null;
  readonly lastSyncedAt: Date | null;
}

/** Where commands of a job run and its files lie. */
export function guestOf(job: Pick<Job, "id" | "sandbox">): GuestId {
  return job.sandbox?.id ?? job.id;
}
