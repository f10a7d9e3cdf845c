/** What the rest of the node can ask of the agent in a guest. */
import type { AgentHello, KeptStream } from "./hello.ts";
import type { GuestText, OpenOptions, StreamListeners } from "./open-options.ts";
import type { AttachOptions, FileStat, GuestStats, Identity, StepReport, SyncRequest } from "./requests.ts";
import type { CommandOptions, CommandResult } from "./run-command.ts";
import type { AgentStream } from "./stream.ts";

export interface CallOptions {
  readonly signal?: AbortSignal;
  /** Default 10 s; 30 s for what works on the disk, 10 min for `remove`. */
  readonly deadlineMs?: number;
}

export interface ResumeOptions extends StreamListeners {
  /** Number of the first record that is wanted: one after the last that was stored. Those before it are acknowledged. */
  readonly fromSeq: number;
}

/**
 * A connection to the agent. Every call sends its message before it returns, and the guest carries messages out in the
 * order in which they were sent, so requests that depend on each other need not wait for each other. They reject with
 * AppError `guest_failed` when the guest refuses or does not answer in time, `microvm_lost` when the connection ended,
 * and `guest_protocol_violation` when the guest broke the protocol.
 *
 * Disposing closes the connection and rejects what waits; in the guest, streams opened with `keep` go on.
 */
export interface AgentConnection extends AsyncDisposable {
  /** What the agent said of itself. Rejects when the connection ends before. */
  readonly hello: Promise<AgentHello>;
  /** Resolves when the guest has answered on both ports. Rejects when the connection ends before. */
  readonly ready: Promise<void>;
  /** Streams of earlier hosts; empty before `hello`. No data of any stream comes until each was resumed or closed. */
  readonly kept: readonly KeptStream[];
  /** Resolves with the reason when the connection is over. */
  readonly closed: Promise<string>;

  ping(options?: CallOptions): Promise<void>;
  ident(identity: Identity, options?: CallOptions): Promise<void>;
  /** Sets the real-time clock. */
  setClock(clock: { readonly realtimeNs: bigint }, options?: CallOptions): Promise<void>;
  /** Tells a guest whose time stood still what time it is, and gives it fresh entropy. */
  awake(now: Pick<Identity, "realtimeNs" | "entropy">, options?: CallOptions): Promise<void>;
  /** Writes out the upper layer and gives back the memory of the page cache. */
  reclaim(options?: CallOptions): Promise<StepReport>;
  attachDisk(disk: AttachOptions, options?: CallOptions): Promise<StepReport>;
  detachDisk(options?: CallOptions): Promise<StepReport>;
  /** Writes out the upper layer. */
  sync(sync: SyncRequest, options?: CallOptions): Promise<StepReport>;
  freeze(freeze: { readonly watchdogMs: number }, options?: CallOptions): Promise<StepReport>;
  /** Rejects with errno EINVAL when the guest has thawed by itself. */
  thaw(options?: CallOptions): Promise<StepReport>;
  grow(disk: { readonly sizeBytes: number }, options?: CallOptions): Promise<StepReport>;
  stats(options?: CallOptions): Promise<GuestStats>;
  stat(
    file: { readonly path: string | Uint8Array; readonly follow?: boolean },
    options?: CallOptions,
  ): Promise<FileStat>;
  /** Of a folder that is not empty only if `recursive`. Never follows a link. */
  remove(file: { readonly path: GuestText; readonly recursive?: boolean }, options?: CallOptions): Promise<void>;
  rename(
    file: { readonly path: GuestText; readonly to: GuestText; readonly noReplace?: boolean },
    options?: CallOptions,
  ): Promise<void>;
  makeDirectory(
    folder: { readonly path: GuestText; readonly parents?: boolean; readonly mode?: number },
    options?: CallOptions,
  ): Promise<void>;
  /** Resolves when the guest is about to write out its disks and power off. */
  shutdown(options?: CallOptions): Promise<void>;

  open(options: OpenOptions, call?: CallOptions): AgentStream;
  /** Takes up a stream of an earlier host. It counts as opened; records are acknowledged by `ack` only. */
  resume(kept: KeptStream, options: ResumeOptions): AgentStream;
  /** Ends a stream of an earlier host. */
  closeKept(kept: KeptStream): void;
  /** Runs a command to its end and collects its output. When `signal` aborts, its process group is killed. */
  run(command: CommandOptions, options?: { readonly signal?: AbortSignal }): Promise<CommandResult>;
  /** What `send` sends leaves in one piece. */
  batch<T>(send: () => T): T;
}
