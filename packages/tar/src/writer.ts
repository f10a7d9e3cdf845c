/** Headers of a tar archive: ustar, with an extended header where a field does not fit. */

import type { TarEntryType, TarHeader } from "./entry-reader.ts";
import { BLOCK_BYTES, checksumOf } from "./header.ts";
import { paxRecord } from "./pax.ts";

export type WrittenEntry = Omit<TarHeader, "type"> & { readonly type: Exclude<TarEntryType, "device"> };

const FLAG = { file: "0", link: "1", symlink: "2", directory: "5", fifo: "6" } as const;
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
  const { uid, gid, size, mtime } = entry;
  const { path, linkPath } = names;
  const records: Buffer[] = [];
  const extend = (key: string, value: string | number | Buffer) =>
    void records.push(paxRecord(key, Buffer.isBuffer(value) ? value : Buffer.from(String(value), "latin1")));
  if (path.length > MAX_SHORT_NAME) extend("path", path);
  if (linkPath.length > MAX_SHORT_NAME) extend("linkpath", linkPath);
  if (uid > MAX_OCTAL_7) extend("uid", uid);
  if (gid > MAX_OCTAL_7) extend("gid", gid);
  if (size > MAX_OCTAL_11) extend("size", size);
  if (mtime > MAX_OCTAL_11) extend("mtime", mtime);
  for (const [name, value] of entry.xattrs) extend(`SCHILY.xattr.${name}`, value);
  const own = block(entry, FLAG[entry.type]);
  if (records.length === 0) return own;
  const body = Buffer.concat(records);
  const extension = { ...entry, path: "pax", linkPath: "", uid: 0, gid: 0, mtime: 0, size: body.length };
  return Buffer.concat([block(extension, "x"), body, padding(body.length), own]);
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
  octal(Math.min(entry.mtime, MAX_OCTAL_11), 136, 11);
  header.write(flag, 156, "latin1");
  header.write(entry.linkPath.slice(0, MAX_SHORT_NAME), 157, "latin1");
  header.write("ustar\x0000", 257, "latin1");
  octal(checksumOf(header), 148, 6);
  header[154] = 0;
  header[155] = 0x20;
  return header;
}
