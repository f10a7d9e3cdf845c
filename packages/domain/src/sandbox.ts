/**
 * What the control plane asks of a node about sandboxes: microVMs, or disks of microVMs that sleep, which outlive the
 * scripts that run in them.
 */
import type { EgressPolicy } from "./egress.ts";
import type { Id, JobId, MicroVmId } from "./ids.ts";
import type { ObservedSync, SyncTarget, VersionRef } from "./workspace.ts";

export type SandboxId = Id<"sandbox">;

/** A job whose microVM is its own, or a sandbox: where commands run and files lie. */
export type GuestId = JobId | SandboxId;

/** What becomes of a sandbox in which nothing was done for `afterMs`. */
export interface IdlePolicy {
  /** `sleep`: memory goes to disk, the next use wakes it. `release`: it is removed with its disk. `none`: it runs on. */
  readonly action: "sleep" | "release" | "none";
  readonly afterMs: number;
}

export interface SandboxPolicy {
  readonly idle: IdlePolicy;
  /** Run by /bin/sh when it wakes without its memory. */
  readonly startupCommand: string | null;
  /** A lost microVM is made anew at once, from its disk. */
  readonly alwaysOn: boolean;
  /** In place of that of the job that it was made for; open connections go on. */
  readonly egress: EgressPolicy;
  /**
   * Where its disk is published, every half minute when it changed, before it sleeps and before it is released. Null: its
   * disk is local. From null to a target its disk becomes the first version of that workspace; never back.
   */
  readonly syncTo: SyncTarget | null;
}

export interface SandboxSpec extends SandboxPolicy {
  readonly id: SandboxId;
  /** True: it exists already, awake or asleep. False: it is made for this job. */
  readonly exists: boolean;
  /** What its disk is when it is made, by a copy on write; null: an empty disk. */
  readonly from: VersionRef | null;
}

/** Why a sandbox went to sleep or woke. */
/** `sync`: to publish what it fell asleep with. That is no use of it. */
export type SleepReason = "idle" | "requested" | "sync";
export type WakeReason = "exec" | "files" | "connection" | "script" | "requested" | "no_sleep" | "sync";

/** Reported in order per sandbox. */
export interface SandboxUpdate {
  readonly type: "sandbox";
  readonly sandboxId: SandboxId;
  /** `gone`: it and its disk are no more. */
  readonly state: "running" | "sleeping" | "gone";
  /** The microVM it has now; null while it sleeps. */
  readonly microVmId: MicroVmId | null;
  readonly atMs: number;
  /**
   * `slept`, `woke` (data.kind: `warm` with its memory, `cold` from its disk, then data.coldBecause), `vm_lost`, `released`,
   * `resized`, `sleep_failed`, `wake_failed`, `resize_failed`, `startup_failed`,
   * `host_disk_full` and `store_away` (once a shortage: the guest waits in the middle of a write; data.message);
   * `workspace_damaged` (data.workspace, data.version, data.offset, data.reason, data.soundVersions: numbers, the newest first;
   * once for each pack of the store, of 50 at most, until the block server is started again; also of one that is still being
   * made, or could not be made: its state means nothing then); `hydrated`
   * (data.dataBytes, data.durationMs: its disk stands on no version of a workspace any more); `synced` (data.version: WorkspaceVersion,
   * data.reason: SyncReason, data.sentBytes, data.durationMs, data.stallMs; data.syncedAtMs: when the disk was the same as
   * the version, if that was not just now), `sync_failed` (once, until a sync succeeds again),
   * `sync_compared` (all of the disk was compared: data.reason), `sync_lost` (another writes the workspace now: nothing is published any more). `data.reason` is for people or one of the reasons above.
   */
  readonly name: string;
  readonly data: Readonly<Record<string, unknown>>;
}

export interface ObservedSandbox {
  readonly sandboxId: SandboxId;
  readonly state: "running" | "sleeping";
  readonly microVmId: MicroVmId | null;
  /** Why its guest stands still in the middle of a write, for people: no room on the host's disk, say. Null: it does not. */
  readonly waitsFor: string | null;
  /** As large as it is, which may be less than it was asked to be. */
  readonly diskGiB: number;
  /** Why it sleeps without its memory, for people: its microVM was lost, say. Null while it is awake or has it. */
  readonly lost: string | null;
  /** Its disk stands on no version of a workspace, or not any more: none has to be kept for it. */
  readonly hydrated: boolean;
  /** Null: its disk is local. */
  readonly sync: ObservedSync | null;
}

export interface SandboxRuntime {
  /** Sandboxes of the node; one that is still being made for its first job is not among them. */
  observeSandboxes(): readonly ObservedSandbox[];
  /**
   * Puts it to sleep; resolves when it sleeps, at once if it does. What runs in it goes on after the wake.
   * @throws AppError `sandbox_not_found`; `sandbox_busy` when calls are under way that a sleep would break.
   */
  sleepSandbox(id: SandboxId, options: { readonly reason: SleepReason }): Promise<void>;
  /**
   * Wakes it; resolves when its guest answers, at once if it is awake. Many at a time make one.
   * @throws AppError `sandbox_not_found`; `unavailable` or `guest_failed` when it could not be woken: its disk is kept.
   */
  wakeSandbox(id: SandboxId, options: { readonly reason: WakeReason; readonly signal: AbortSignal }): Promise<void>;
  /** On stable storage when it resolves. @throws AppError `sandbox_not_found`. */
  setSandboxPolicy(id: SandboxId, policy: SandboxPolicy): Promise<void>;
  /**
   * Makes its disk larger: at once when it is awake, else at its next wake.
   * @throws AppError `sandbox_not_found`; `validation_failed` when it is larger already.
   */
  growSandbox(id: SandboxId, disk: { readonly diskGiB: number }): Promise<void>;
  /**
   * Ends its microVM and removes its disk. One that is not there is no error. Of a synced one what changed is published
   * before, with its guest paused, so that nothing is missing.
   * @param options.discard  Also when what changed cannot be published: it is lost then.
   * @throws AppError `unavailable` when what changed cannot be published now: it runs on as before.
   */
  releaseSandbox(id: SandboxId, options: { readonly reason: string; readonly discard?: boolean }): Promise<void>;
}
