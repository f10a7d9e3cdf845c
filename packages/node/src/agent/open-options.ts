/** The options of each kind of stream, and OPEN on the wire. */
import { createFieldWriter } from "./fields.ts";
import type { StreamKind } from "./hello.ts";
import type { StreamRecord } from "./receiver.ts";
import { KIND, TAG, WRITE_FLAG } from "./wire.ts";

/** A path or argument; a string is sent as UTF-8. */
export type GuestText = string | Uint8Array;

export interface StreamListeners {
  /**
   * Takes the records in order, as they come. Throws nothing but ProtocolViolation, which ends the connection. Unless `keep` or `paced` is set a record counts as taken
   * when this returns.
   */
  readonly onRecord?: (record: StreamRecord) => void;
  /** The process, file or socket has taken the input up to this offset; not told for each piece. Must not throw. */
  readonly onInputTaken?: (offset: number) => void;
}

export interface CommonOptions extends StreamListeners {
  /** Most bytes that the guest may have sent and not had acknowledged: 64 KiB to 8 MiB. Default 1 MiB. */
  readonly window?: number;
  /** At most 64 bytes; names the stream to a later host. */
  readonly key?: Uint8Array;
  /** The stream outlives this connection. Its records are acknowledged by `ack` only. */
  readonly keep?: boolean;
  /** Records are acknowledged by `ack` only, so that the guest goes no faster than their reader. `keep` includes it. */
  readonly paced?: boolean;
  /** Refuse if this guest ever opened a stream with this key and `once`. */
  readonly once?: boolean;
}

/** Either `argv` or `script` (run by its `#!` line, else by /bin/sh). */
export interface ProcessOptions {
  readonly argv?: readonly GuestText[];
  readonly script?: GuestText;
  readonly environment?: Readonly<Record<string, string>>;
  /** Default `/root`. */
  readonly cwd?: GuestText;
  /** Then SIGTERM to the process group. */
  readonly timeoutMs?: number;
  /** From SIGTERM to SIGKILL. Default 10 s. */
  readonly killAfterMs?: number;
  /** When the command ends, SIGKILL what is left of its process group. Default true. */
  readonly killGroup?: boolean;
}

export type KindOptions =
  | ({
      readonly kind: "exec" /** Input will be written. Default: /dev/null. */;
      readonly stdin?: boolean;
    } & ProcessOptions)
  | ({
      readonly kind: "pty";
      readonly rows: number;
      readonly cols: number;
      /** Terminal modes as an SSH client sends them (RFC 4254, section 8). Default: those of a new terminal. */
      readonly modes?: Uint8Array;
    } & ProcessOptions)
  | { readonly kind: "fileRead"; readonly path: GuestText; readonly offset?: number; readonly length?: number }
  | {
      readonly kind: "fileWrite";
      readonly path: GuestText;
      /** Permission bits. Default: those of the file that is written, 0644 for a new one. */
      readonly mode?: number;
      /** Default: when it is written. */
      readonly mtimeMs?: number;
      readonly parents?: boolean;
      readonly exclusive?: boolean;
      readonly append?: boolean;
      /** Readers see the old file or the new one, never a part. */
      readonly atomic?: boolean;
    }
  | { readonly kind: "list"; readonly path: GuestText }
  | { readonly kind: "tarOut"; readonly cwd: GuestText; readonly paths: readonly GuestText[] }
  | { readonly kind: "tarIn"; readonly cwd: GuestText }
  | ({ readonly kind: "tcp" } & SocketAddress)
  /** Its records are read by `createArrivals`; port 0 picks one that is free, which `opened` tells. */
  | ({ readonly kind: "listen" } & SocketAddress)
  /** A connection that came in. */
  | { readonly kind: "accept"; readonly connection: number };

/** `address` is numeric. Default: 127.0.0.1. */
export type SocketAddress =
  | { readonly port: number; readonly address?: string }
  /** A Unix socket. */
  | { readonly path: GuestText };

export type OpenOptions = CommonOptions & KindOptions;

export const DEFAULT_WINDOW_BYTES = 1024 * 1024;

/** Channels on which the guest may send, by kind. */
export const OUTPUT_CHANNELS: Readonly<Record<StreamKind, readonly number[]>> = {
  exec: [1, 2],
  pty: [1],
  fileRead: [1],
  fileWrite: [],
  list: [1],
  tarOut: [1],
  tarIn: [],
  tcp: [1],
  listen: [1],
  accept: [1],
};

/** True when the host may write to a stream with these options. */
export function takesInput(options: KindOptions): boolean {
  switch (options.kind) {
    case "exec":
      return options.stdin === true;
    case "pty":
    case "fileWrite":
    case "tarIn":
    case "tcp":
    case "accept":
      return true;
    case "fileRead":
    case "list":
    case "tarOut":
    case "listen":
      return false;
    default:
      return options satisfies never;
  }
}

export function encodeOpen(options: OpenOptions): Buffer {
  const fields = createFieldWriter()
    .u8(TAG.kind, KIND[options.kind])
    .u32(TAG.window, options.window ?? DEFAULT_WINDOW_BYTES);
  if (options.key) fields.bytes(TAG.key, options.key);
  if (options.keep) fields.u8(TAG.keep, 1);
  if (options.once) fields.u8(TAG.once, 1);

  function putProcess(process: ProcessOptions): void {
    for (const argument of process.argv ?? []) fields.bytes(TAG.argv, argument);
    if (process.script !== undefined) fields.bytes(TAG.script, process.script);
    for (const [name, value] of Object.entries(process.environment ?? {})) fields.bytes(TAG.env, `${name}=${value}`);
    if (process.cwd !== undefined) fields.bytes(TAG.cwd, process.cwd);
    if (process.timeoutMs !== undefined) fields.u64(TAG.timeoutMs, Math.ceil(process.timeoutMs));
    if (process.killAfterMs !== undefined) fields.u64(TAG.killAfterMs, Math.ceil(process.killAfterMs));
    if (process.killGroup !== false) fields.u8(TAG.killGroup, 1);
  }

  function putAddress(address: SocketAddress): void {
    if ("path" in address) {
      fields.bytes(TAG.path, address.path);
      return;
    }
    fields.u16(TAG.port, address.port);
    if (address.address !== undefined) fields.bytes(TAG.address, address.address);
  }

  switch (options.kind) {
    case "exec":
      putProcess(options);
      if (options.stdin) fields.u8(TAG.stdin, 1);
      break;
    case "pty":
      putProcess(options);
      fields.u16(TAG.rows, options.rows).u16(TAG.cols, options.cols);
      if (options.modes !== undefined) fields.bytes(TAG.modes, options.modes);
      break;
    case "fileRead":
      fields.bytes(TAG.path, options.path);
      if (options.offset !== undefined) fields.u64(TAG.offset, options.offset);
      if (options.length !== undefined) fields.u64(TAG.length, options.length);
      break;
    case "fileWrite": {
      const { parents, exclusive, append, atomic } = options;
      const flags = Object.entries({ parents, exclusive, append, atomic }).reduce(
        (sum, [name, set]) => (set ? sum | WRITE_FLAG[name as keyof typeof WRITE_FLAG] : sum),
        0,
      );
      fields.bytes(TAG.path, options.path).u8(TAG.writeFlags, flags);
      if (options.mode !== undefined) fields.u32(TAG.mode, options.mode);
      if (options.mtimeMs !== undefined) fields.u64(TAG.mtime, BigInt(Math.round(options.mtimeMs * 1000)) * 1000n);
      break;
    }
    case "list":
      fields.bytes(TAG.path, options.path);
      break;
    case "tarOut":
      fields.bytes(TAG.cwd, options.cwd);
      for (const path of options.paths) fields.bytes(TAG.path, path);
      break;
    case "tarIn":
      fields.bytes(TAG.cwd, options.cwd);
      break;
    case "tcp":
    case "listen":
      putAddress(options);
      break;
    case "accept":
      fields.u32(TAG.connection, options.connection);
      break;
    default:
      options satisfies never;
  }
  return fields.finish();
}
