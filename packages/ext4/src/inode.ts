/** One inode of ext4, by `struct ext4_inode` (filesystems/ext4/inodes.rst of the kernel's documentation). */
import { damaged } from "./damaged.ts";

export type InodeType = "file" | "directory" | "symlink" | "character" | "block" | "fifo" | "socket";

export interface Inode {
  readonly number: number;
  readonly type: InodeType;
  /** The twelve bits of permissions. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly sizeBytes: number;
  readonly links: number;
  /** Nanoseconds since 1970, may be negative. */
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
  /** Of a character or block device. */
  readonly device: { readonly major: number; readonly minor: number };
  readonly flags: number;
  /** Block of further attributes; 0: none. */
  readonly attributeBlock: number;
  /** As it lies on the disk. */
  readonly raw: Buffer;
}

const TYPES: Readonly<Record<number, InodeType>> = {
  1: "fifo",
  2: "character",
  4: "directory",
  6: "block",
  8: "file",
  10: "symlink",
  12: "socket",
};
/** Where the 60 bytes begin that hold an extent tree, a device's number or a short link's target. */
export const BLOCK_FIELD = 0x28;
export const BLOCK_FIELD_BYTES = 60;
export const BASE_BYTES = 128;

/** @throws AppError `validation_failed` for one that is free or of no type that there is. */
export function parseInode(raw: Buffer, number: number): Inode {
  const mode = raw.readUInt16LE(0);
  const links = raw.readUInt16LE(0x1a);
  const type = TYPES[mode >> 12];
  if (!type || links === 0) throw damaged(`inode ${number} is in use and is of no type, or has no name`);
  const extra = extraBytes(raw, number);
  const time = (at: number, extraAt: number) => {
    const more = extraAt + 4 <= BASE_BYTES + extra ? raw.readUInt32LE(extraAt) : 0;
    return BigInt(raw.readInt32LE(at) + (more & 3) * 2 ** 32) * 1_000_000_000n + BigInt(more >>> 2);
  };
  return {
    number,
    type,
    mode: mode & 0o7777,
    uid: raw.readUInt16LE(0x2) + raw.readUInt16LE(0x78) * 65536,
    gid: raw.readUInt16LE(0x18) + raw.readUInt16LE(0x7a) * 65536,
    sizeBytes: sizeOf(raw, number),
    links,
    mtimeNs: time(0x10, 0x88),
    ctimeNs: time(0xc, 0x84),
    device: deviceOf(raw),
    flags: raw.readUInt32LE(0x20),
    attributeBlock: raw.readUInt32LE(0x68) + raw.readUInt16LE(0x76) * 2 ** 32,
    raw,
  };
}

function sizeOf(raw: Buffer, number: number): number {
  const size = raw.readUInt32LE(0x4) + raw.readUInt32LE(0x6c) * 2 ** 32;
  if (!Number.isSafeInteger(size)) throw damaged(`inode ${number} is larger than anything`);
  return size;
}

/** How many bytes of fields stand behind the first 128; what is left is for attributes. */
export function extraBytes(raw: Buffer, number: number): number {
  if (raw.length === BASE_BYTES) return 0;
  const extra = raw.readUInt16LE(0x80);
  if (extra % 4 !== 0 || BASE_BYTES + extra > raw.length)
    throw damaged(`inode ${number} has ${extra} bytes of further fields`);
  return extra;
}

/** The kernel's two encodings of a device's number, the short one first. */
function deviceOf(raw: Buffer): Inode["device"] {
  const short = raw.readUInt32LE(BLOCK_FIELD);
  if (short !== 0) return { major: (short >> 8) & 0xff, minor: short & 0xff };
  const long = raw.readUInt32LE(BLOCK_FIELD + 4);
  return { major: (long >> 8) & 0xfff, minor: (long & 0xff) | ((long >>> 12) & 0xfff00) };
}
