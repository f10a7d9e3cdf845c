/**
 * Files of guests. Paths are bytes, as Linux has them; a relative one counts from /root. Contents are streams that wait
 * for their readers and are never held whole.
 */
import { AppError } from "@mags/core";
import type { GuestId } from "./sandbox.ts";

export type GuestFileType =
  | "file"
  | "directory"
  | "symlink"
  | "fifo"
  | "socket"
  | "character_device"
  | "block_device"
  | "unknown";

export interface GuestFileInfo {
  readonly type: GuestFileType;
  /** Permission bits, those of setuid, setgid and sticky included. */
  readonly mode: number;
  readonly sizeBytes: number;
  readonly mtimeMs: number;
  readonly uid: number;
  readonly gid: number;
  /** Of a symbolic link. */
  readonly target: Buffer | null;
}

export interface GuestEntry extends GuestFileInfo {
  readonly name: Buffer;
}

/** What a guest sends, as it comes. Ending the iteration gives up the rest. It throws what the call that gave it may reject with. */
export type FromGuest<T> = AsyncGenerator<T, void, void>;
export type ToGuest = AsyncIterable<Uint8Array>;

interface Signals {
  readonly signal: AbortSignal;
}

/**
 * Every call wakes a sleeping guest and keeps it awake until it is done. They reject with AppError `job_not_running` when
 * there is no such guest and `microvm_lost` when it ends meanwhile; `file_not_found`, `file_conflict` (what is there is not
 * of the right kind, or in the way), `disk_full` (of the guest), `validation_failed` (a path that cannot be), and
 * `guest_failed` for what else goes wrong in the guest. What is written to a guest must not change afterwards.
 */
export interface GuestFiles {
  stat(
    guest: GuestId,
    file: { readonly path: Buffer; readonly follow: boolean },
    signals: Signals,
  ): Promise<GuestFileInfo>;
  /** Of a regular file. Resolves when the guest sends. @param part.length  Null: to the end. */
  read(
    guest: GuestId,
    part: { readonly path: Buffer; readonly offset: number; readonly length: number | null },
    signals: Signals,
  ): Promise<FromGuest<Uint8Array>>;
  /**
   * Replaces a file at once when all of it has arrived; until then, and when this rejects, what was there stays.
   * @returns the number of bytes.
   */
  write(guest: GuestId, file: GuestFileWrite, source: ToGuest, signals: Signals): Promise<number>;
  /** Of a folder, in no order. */
  list(guest: GuestId, folder: { readonly path: Buffer }, signals: Signals): Promise<FromGuest<readonly GuestEntry[]>>;
  /** Links are removed, never followed. @throws AppError `file_conflict` for a folder that is not empty unless `recursive`, and for mount points. */
  remove(guest: GuestId, file: { readonly path: Buffer; readonly recursive: boolean }, signals: Signals): Promise<void>;
  /** @throws AppError `file_conflict` when `to` exists and `replace` is not set. */
  rename(
    guest: GuestId,
    file: { readonly path: Buffer; readonly to: Buffer; readonly replace: boolean },
    signals: Signals,
  ): Promise<void>;
  /** @throws AppError `file_conflict` when it exists, unless `parents` is set and it is a folder. */
  makeDirectory(
    guest: GuestId,
    folder: { readonly path: Buffer; readonly parents: boolean; readonly mode: number | null },
    signals: Signals,
  ): Promise<void>;
  /** A tar archive of what is in a folder. */
  pack(guest: GuestId, folder: { readonly path: Buffer }, signals: Signals): Promise<FromGuest<Uint8Array>>;
  /** Writes what is in a tar archive into a folder, which is made if it is missing. What was written before a failure stays. */
  unpack(guest: GuestId, folder: { readonly path: Buffer }, source: ToGuest, signals: Signals): Promise<void>;
}

export interface GuestFileWrite {
  readonly path: Buffer;
  /** Null: that of the file that is replaced, 0644 for a new one. */
  readonly mode: number | null;
  /** Null: now. */
  readonly mtimeMs: number | null;
  /** Makes missing folders. */
  readonly parents: boolean;
  /** Refuses to replace a file. */
  readonly exclusive: boolean;
}

/** Where a node gets the uploads of a job. */
export interface UploadSource {
  /** @throws AppError `file_not_found` when it is no longer there. */
  open(
    fileId: string,
    signals: Signals,
  ): Promise<{ readonly name: string; readonly sizeBytes: number; readonly content: ToGuest }>;
}

/** Of a node that is given no jobs. */
export const NO_UPLOADS: UploadSource = {
  async open(fileId) {
    throw new AppError("file_not_found", `there is no upload ${fileId}`);
  },
};
