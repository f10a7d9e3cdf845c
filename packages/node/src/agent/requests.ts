/** Requests other than OPEN: their options and replies, and how they look on the wire. */
import { createFieldWriter, type FieldReader, required } from "./fields.ts";
import { readText } from "./guest-error.ts";
import type { GuestText } from "./open-options.ts";
import { TAG, UPPER } from "./wire.ts";

export interface Identity {
  /** Nanoseconds since 1970. */
  readonly realtimeNs: bigint;
  /** 32 to 512 bytes. */
  readonly entropy: Uint8Array;
  readonly hostname: string;
  /** 16 bytes. */
  readonly machineId: Uint8Array;
}

export interface AttachOptions {
  /** `tmpfs`: nothing is kept; `sizeBytes` does not matter. */
  readonly upper: "ext4" | "tmpfs";
  /** Size that the slot device has, or is about to have. */
  readonly sizeBytes: number;
}

export interface SyncRequest {
  /** At most so many times, until there is little left to write. */
  readonly rounds: number;
  /**
   * Discards what the file system does not use any more, when so many bytes more were written since that was done than it has
   * grown by; for about a second. Agents of older templates do not. Default: never.
   */
  readonly trimStaleBytes?: number;
}

/** What the guest says it did, in milliseconds per step: for people. */
export interface StepReport {
  readonly steps: string;
}

export interface GuestStats {
  readonly uptimeMs: number;
  /** Milliseconds of all processors since the boot. */
  readonly cpuMs: { readonly user: number; readonly system: number; readonly idle: number; readonly steal: number };
  readonly memoryBytes: { readonly total: number; readonly available: number };
  /** Without kernel threads and the agent. */
  readonly processes: number;
  /** Without those over loopback. */
  readonly tcpEstablished: number;
  readonly ttys: number;
  readonly diskBytes: { readonly total: number; readonly free: number };
  readonly oomKills: number;
}

export interface FileStat {
  /** With the bits of the type, as in stat(2). */
  readonly mode: number;
  readonly sizeBytes: number;
  readonly mtimeMs: number;
  readonly uid: number;
  readonly gid: number;
  /** Of a symbolic link. */
  readonly target: Buffer | null;
}

export function encodeClock(realtimeNs: bigint): Buffer {
  return createFieldWriter().u64(TAG.realtime, realtimeNs).finish();
}

export function encodeAwake(now: Pick<Identity, "realtimeNs" | "entropy">): Buffer {
  return createFieldWriter().u64(TAG.realtime, now.realtimeNs).bytes(TAG.entropy, now.entropy).finish();
}

export function encodeIdentity(identity: Identity): Buffer {
  return createFieldWriter()
    .u64(TAG.realtime, identity.realtimeNs)
    .bytes(TAG.entropy, identity.entropy)
    .bytes(TAG.hostname, identity.hostname)
    .bytes(TAG.machineId, identity.machineId)
    .finish();
}

export function encodeAttach(options: AttachOptions): Buffer {
  return createFieldWriter().u64(TAG.size, options.sizeBytes).u8(TAG.upper, UPPER[options.upper]).finish();
}

export function encodeSync({ rounds, trimStaleBytes }: SyncRequest): Buffer {
  const fields = createFieldWriter().u8(TAG.rounds, rounds);
  if (trimStaleBytes !== undefined) fields.u64(TAG.trimStale, trimStaleBytes);
  return fields.finish();
}

export function encodeRemove(file: { readonly path: GuestText; readonly recursive?: boolean }): Buffer {
  const fields = createFieldWriter().bytes(TAG.path, file.path);
  if (file.recursive) fields.u8(TAG.recursive, 1);
  return fields.finish();
}

export function encodeRename(file: {
  readonly path: GuestText;
  readonly to: GuestText;
  readonly noReplace?: boolean;
}): Buffer {
  const fields = createFieldWriter().bytes(TAG.path, file.path).bytes(TAG.newPath, file.to);
  if (file.noReplace) fields.u8(TAG.noReplace, 1);
  return fields.finish();
}

export function encodeMakeDirectory(folder: {
  readonly path: GuestText;
  readonly parents?: boolean;
  readonly mode?: number;
}): Buffer {
  const fields = createFieldWriter().bytes(TAG.path, folder.path);
  if (folder.parents) fields.u8(TAG.parents, 1);
  if (folder.mode !== undefined) fields.u32(TAG.mode, folder.mode);
  return fields.finish();
}

export function decodeSteps(fields: FieldReader): StepReport {
  return { steps: readText(fields.bytes(TAG.steps)) };
}

export function decodeStats(fields: FieldReader): GuestStats {
  const u64 = (tag: number, name: string) => required(fields.u64(tag), name);
  const u32 = (tag: number, name: string) => required(fields.u32(tag), name);
  return {
    uptimeMs: u64(TAG.uptime, "UPTIME"),
    cpuMs: {
      user: u64(TAG.cpuUser, "CPU_USER"),
      system: u64(TAG.cpuSystem, "CPU_SYSTEM"),
      idle: u64(TAG.cpuIdle, "CPU_IDLE"),
      steal: u64(TAG.cpuSteal, "CPU_STEAL"),
    },
    memoryBytes: { total: u64(TAG.memTotal, "MEM_TOTAL"), available: u64(TAG.memAvailable, "MEM_AVAILABLE") },
    processes: u32(TAG.processes, "PROCESSES"),
    tcpEstablished: u32(TAG.tcpEstablished, "TCP_ESTABLISHED"),
    ttys: u32(TAG.ttys, "TTYS"),
    diskBytes: { total: u64(TAG.diskTotal, "DISK_TOTAL"), free: u64(TAG.diskFree, "DISK_FREE") },
    oomKills: u64(TAG.oomKills, "OOM_KILLS"),
  };
}

/** @throws ProtocolViolation */
export function decodeStat(fields: FieldReader): FileStat {
  // Nanoseconds since 1970 do not fit a number exactly.
  const mtime = required(fields.bytes(TAG.mtime), "MTIME");
  const target = fields.bytes(TAG.target);
  return {
    mode: required(fields.u32(TAG.mode), "MODE"),
    sizeBytes: required(fields.u64(TAG.size), "SIZE"),
    mtimeMs: mtime.length === 8 ? Number(mtime.readBigUInt64LE() / 1000n) / 1000 : 0,
    uid: required(fields.u32(TAG.uid), "UID"),
    gid: required(fields.u32(TAG.gid), "GID"),
    target: target ? Buffer.from(target) : null,
  };
}
