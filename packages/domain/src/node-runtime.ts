/**
 * What the control plane asks of a node, and what a node reports. The node owns microVMs, their disks and networks,
 * and the bytes of job output; the control plane owns jobs. Both may restart at any time, so every call may be
 * repeated, and what a node has to report stays on its disk until it is acknowledged.
 */
import type { EgressPolicy } from "./egress.ts";
import type { ExecRuntime } from "./exec-sessions.ts";
import type { GuestFiles } from "./guest-files.ts";
import type { GuestSockets } from "./guest-sockets.ts";
import type { JobId, MicroVmId } from "./ids.ts";
import type { GuestId, SandboxRuntime, SandboxSpec, SandboxUpdate } from "./sandbox.ts";
import type { WorkspaceRuntime } from "./workspace.ts";

/** Less memory does not boot a guest. */
export const MIN_MEMORY_MIB = 256;

export interface MicroVmSize {
  /** Name of an image known to the node. */
  readonly image: string;
  readonly vcpus: number;
  readonly memoryMiB: number;
  readonly diskGiB: number;
  readonly egress: EgressPolicy;
}

export type JobCommand =
  | { readonly kind: "inline"; readonly script: string }
  /** Fetched inside the guest, under its egress rules; at most 1 MiB and 30 s. */
  | { readonly kind: "url"; readonly url: string };

export interface JobStart {
  readonly jobId: JobId;
  readonly size: MicroVmSize;
  readonly command: JobCommand;
  readonly environment: Readonly<Record<string, string>>;
  /** Milliseconds the script may run: then SIGTERM, SIGKILL after 10 s, exit code 124. `null`: no limit. */
  readonly timeoutMs: number | null;
  /** Where it runs; null: in a microVM of its own that ends with the script. */
  readonly sandbox: SandboxSpec | null;
  /** Its script keeps the sandbox awake: nobody would wake it. */
  readonly keepsAwake: boolean;
  /** Uploads, put into /uploads and /root of the guest before the script starts, in /uploads. */
  readonly fileIds: readonly string[];
}

/** How the script of a job ended, or why it could not run to its end. */
export type JobEnd =
  | {
      readonly kind: "exited";
      /** 0–255; 128 + signal number when a signal ended it; 124 on time-out. */
      readonly exitCode: number;
      readonly timedOut: boolean;
      /** From the exec of the script to its end, measured in the guest by a clock that is never stepped. */
      readonly durationMs: number;
      readonly endedAtMs: number;
    }
  /** Ended by `stop`. `exitCode` and `durationMs` are null when the script did not end within its grace. */
  | {
      readonly kind: "stopped";
      readonly exitCode: number | null;
      readonly durationMs: number | null;
      readonly endedAtMs: number;
    }
  /** The microVM of its sandbox was lost under it; the sandbox sleeps, with its disk. `message` is for the user. */
  | { readonly kind: "lost"; readonly message: string; readonly endedAtMs: number }
  /** `message` is for the user. */
  | { readonly kind: "failed"; readonly message: string; readonly endedAtMs: number };

/** Reported in order per job. A repeated report carries the same content. */
export type JobUpdate =
  | {
      readonly type: "started";
      readonly jobId: JobId;
      readonly microVmId: MicroVmId;
      readonly startedAtMs: number;
      /** `mounted`: parked with its disk; `slot`: parked, disk given at start; `restored`: no parked clone was left;
       * `sandbox`: in one that was there. */
      readonly origin: "mounted" | "slot" | "restored" | "sandbox";
      /** Milliseconds since the node took the job, by stage name. */
      readonly stagesMs: Readonly<Record<string, number>>;
    }
  /** Something a user should be able to read about the job. `name` is a snake_case event name. */
  | {
      readonly type: "note";
      readonly jobId: JobId;
      readonly name: string;
      readonly atMs: number;
      readonly data: Readonly<Record<string, unknown>>;
    }
  /** Its microVM is released, or in a sandbox its script is over. Kept and repeated by `observe` until `acknowledge`. */
  | { readonly type: "ended"; readonly jobId: JobId; readonly end: JobEnd };

export type NodeUpdate = JobUpdate | SandboxUpdate;

export interface ObservedJob {
  readonly jobId: JobId;
  readonly microVmId: MicroVmId | null;
  readonly state: "queued" | "starting" | "running" | "ended";
  readonly startedAtMs: number | null;
  /** Set when `state` is `ended`. */
  readonly end: JobEnd | null;
}

export interface ExecRequest {
  /** Run by `/bin/sh -c`, bytes untouched. */
  readonly command: string;
  readonly timeoutMs: number;
  /** Bytes kept per stream; the rest is read and dropped. */
  readonly maxBytes: number;
}

export interface ExecResult {
  /** 0–255; 128 + signal number; 124 on time-out. */
  readonly exitCode: number;
  readonly stdout: Buffer;
  readonly stderr: Buffer;
  readonly timedOut: boolean;
  readonly truncated: boolean;
}

export type LogSource = "stdout" | "stderr" | "system";

/** A piece of output as the guest agent read it: at most 64 KiB, cut anywhere. */
export interface LogRecord {
  /** Position in the job's output, from 1, without gaps. */
  readonly index: number;
  readonly source: LogSource;
  /** Wall clock of the host, milliseconds. */
  readonly atMs: number;
  readonly bytes: Buffer;
}

export interface LogTail {
  /** Records from `from` on, in order, at most about 1 MiB of them. Empty: there are none yet. */
  read(from: number): Promise<readonly LogRecord[]>;
  /** True when no more records can come. */
  ended(): boolean;
  close(): Promise<void>;
}

/** Called when a job has new records or will have no more. Must not throw. */
export type LogSink = () => void;

export interface PoolStatus {
  readonly idle: number;
  readonly busy: number;
  readonly minIdle: number;
  /** 0: no hard cap. */
  readonly max: number;
  /** Jobs taken that wait for memory or for their start. */
  readonly queued: number;
  /** Those of them that wait for memory; they get it in order of arrival. */
  readonly awaitingMemory: number;
  /** Memory that may still be promised; less than 0 when more is promised than there should be. */
  readonly freeMemoryMiB: number;
}

export interface NodeDescription {
  readonly accelerator: "kvm" | "tcg";
  readonly acceleratorReason: string;
  readonly images: readonly string[];
  readonly defaultVcpus: number;
  readonly maxVcpus: number;
  readonly defaultMemoryMiB: number;
  readonly maxMemoryMiB: number;
  readonly maxDiskGiB: number;
}

export interface NodeRuntime extends ExecRuntime, GuestSockets, SandboxRuntime, WorkspaceRuntime {
  describe(): NodeDescription;
  poolStatus(): PoolStatus;
  /**
   * Takes a job: queues it, gives it a microVM and runs its command at most once, ever. Returns at once; what happens
   * is reported. A job id that the node already knows is ignored.
   */
  start(job: JobStart): void;
  /** Everything the node still holds for jobs, ended ones that were not acknowledged included. */
  observe(): readonly ObservedJob[];
  /**
   * Ends a job: SIGTERM to its script, SIGKILL and the end of its microVM after a grace of 2 s. Resolves when the
   * microVM is released; the end is reported as any other. An unknown or ended job is no error. In a sandbox only the
   * script ends, with SIGKILL after 10 s.
   */
  stop(jobId: JobId): Promise<void>;
  /** The `ended` report is stored elsewhere: the node may forget the job. Its output stays readable. */
  acknowledge(jobId: JobId): Promise<void>;
  /**
   * Runs one command, in a sandbox that sleeps after waking it. When `signal` aborts, the command's process group is
   * killed.
   * @throws AppError `job_not_running` when there is no such microVM, `microvm_lost` when it ends meanwhile, `disk_full` when
   * the sandbox waits for room on the host's disk.
   */
  exec(guest: GuestId, request: ExecRequest, options: { readonly signal: AbortSignal }): Promise<ExecResult>;
  readonly files: GuestFiles;
  /** Output of a job, from disk and live, from record 1 on. Rejects with `job_not_found` when there is none. */
  openLog(jobId: JobId, onChange: LogSink): Promise<LogTail>;
  onUpdate(listener: (update: NodeUpdate) => void): void;
}
