/** Headers of a tar archive: ustar, with an extended header where a field does not fit. */

import type { TarEntryType, TarHeader } from "./entry-reader.ts";
import { BLOCK_BYTES, checksumOf } from "./header.ts";
import { paxRecord } from "./pax.ts";

export interface WrittenEntry extends Omit<TarHeader, "type"> {
  readonly type: Exclude<TarEntryType, "device"> | "character" | "block";
  /** Of a character or block device. */
  readonly device?: { readonly major: number; readonly minor: number };
  /** Nanoseconds after `mtime`. Default: 0. */
  readonly mtimeNanos?: number;
  /**
   * Size of a file of which only parts follow, after their map (see `sparse-map.ts`); `size` then counts both. GNU tar,
   * bsdtar and Go read those, busybox does not.
   */
  readonly sparseSize?: number;
}

const FLAG = { file: "0", link: "1", symlink: "2", character: "3", block: "4", directory: "5", fifo: "6" } as const;
const MAX_OCTAL_7 = 0o7777777;
const MAX_OCTAL_11 = 0o77777777777;
const MAX_SHORT_NAME = 100;

/**
 * How names that do not fit are written. Every tar reads those of GNU; with those of POSIX, which stand among all other
 * extended fields, that of busybox cuts names off.
 */
export type LongNames = "posix" | "gnu";

/** What stands before the content of an entry. */
export function headerBytes(entry: WrittenEntry, longNames: LongNames = "posix"): Buffer {
  const { path, linkPath } = entry;
  if (longNames === "posix") return posixHeader(entry, entry);
  const before: Buffer[] = [];
  if (path.length > MAX_SHORT_NAME) before.push(gnuName("L", path));
  if (linkPath.length > MAX_SHORT_NAME) before.push(gnuName("K", linkPath));
  return Buffer.concat([...before, posixHeader(entry, { path: "", linkPath: "" })]);
}

function gnuName(flag: "L" | "K", name: string): Buffer {
  const body = Buffer.from(`${name}\0`, "latin1");
  const header = { path: "././@LongLink", linkPath: "", mode: 0o644, uid: 0, gid: 0, mtime: 0, size: body.length };
  return Buffer.concat([block(header, flag), body, padding(body.length)]);
}

/** @param names  Those that an extended header is made for where they do not fit. */
function posixHeader(entry: WrittenEntry, names: { readonly path: string; readonly linkPath: string }): Buffer {
  const { uid, gid, size, mtime, mtimeNanos = 0, sparseSize } = entry;
  const { path, linkPath } = names;
  const records: Buffer[] = [];
  const extend = (key: string, value: string | number | Buffer) =>
    void records.push(paxRecord(key, Buffer.isBuffer(value) ? value : Buffer.from(String(value), "latin1")));
  if (sparseSize !== undefined) {
    extend("GNU.sparse.major", 1);
    extend("GNU.sparse.minor", 0);
    extend("GNU.sparse.name", path);
    extend("GNU.sparse.realsize", sparseSize);
  } else if (path.length > MAX_SHORT_NAME) extend("path", path);
  if (linkPath.length > MAX_SHORT_NAME) extend("linkpath", linkPath);
  if (uid > MAX_OCTAL_7) extend("uid", uid);
  if (gid > MAX_OCTAL_7) extend("gid", gid);
  if (size > MAX_OCTAL_11) extend("size", size);
  if (mtime > MAX_OCTAL_11 || mtime < 0 || mtimeNanos !== 0) extend("mtime", decimal(mtime, mtimeNanos));
  for (const [name, value] of entry.xattrs) extend(`SCHILY.xattr.${name}`, value);
  const own = block(entry, FLAG[entry.type]);
  if (records.length === 0) return own;
  const body = Buffer.concat(records);
  const extension = { ...entry, path: "pax", linkPath: "", uid: 0, gid: 0, mtime: 0, size: body.length };
  return Buffer.concat([block(extension, "x"), body, padding(body.length), own]);
}

/** Seconds with nine digits behind the point; those before 1970 count from below. */
function decimal(seconds: number, nanos: number): string {
  const below = seconds < 0 && nanos > 0;
  const whole = below ? seconds + 1 : seconds;
  const part = String(below ? 1_000_000_000 - nanos : nanos).padStart(9, "0");
  return `${below && whole === 0 ? "-" : ""}${whole}${nanos === 0 ? "" : `.${part}`}`;
}

/** What stands after a content of that many bytes. */
export function padding(size: number): Buffer {
  return Buffer.alloc((BLOCK_BYTES - (size % BLOCK_BYTES)) % BLOCK_BYTES);
}

export const END_OF_ARCHIVE = Buffer.alloc(2 * BLOCK_BYTES);

function block(entry: Omit<WrittenEntry, "type" | "xattrs">, flag: string): Buffer {
  const header = Buffer.alloc(BLOCK_BYTES);
  const octal = (value: number, at: number, digits: number) =>
    void header.write(value.toString(8).padStart(digits, "0"), at, "latin1");
  header.write(entry.path.slice(0, MAX_SHORT_NAME), 0, "latin1");
  octal(entry.mode, 100, 7);
  octal(Math.min(entry.uid, MAX_OCTAL_7), 108, 7);
  octal(Math.min(entry.gid, MAX_OCTAL_7), 116, 7);
  octal(Math.min(entry.size, MAX_OCTAL_11), 124, 11);
  octal(Math.min(Math.max(0, entry.mtime), MAX_OCTAL_11), 136, 11);
  header.write(flag, 156, "latin1");
  header.write(entry.linkPath.slice(0, MAX_SHORT_NAME), 157, "latin1");
  header.write("ustar\x0000", 257, "latin1");
  if (entry.device) {
    octal(entry.device.major, 329, 7);
    octal(entry.device.minor, 337, 7);
  }
  octal(checksumOf(header), 148, 6);
  header[154] = 0;
  header[155] = 0x20;
  return header;
}
