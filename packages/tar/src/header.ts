/**
 * One 512-byte header of a tar archive, as POSIX (ustar) and GNU write it. Names are kept as bytes, one character each
 * (latin1), because an archive does not say in which encoding they are.
 */
import { AppError } from "@mags/core";

export const BLOCK_BYTES = 512;
/** As long as a path that a kernel takes. */
export const MAX_PATH_BYTES = 4095;

export interface RawHeader {
  readonly name: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly mtime: number;
  /** The type flag; the NUL of the oldest archives is given as "0". */
  readonly type: string;
  readonly linkName: string;
}

/** A name as people read it. */
export function shown(name: string): string {
  return JSON.stringify(Buffer.from(name, "latin1").toString("utf8"));
}

export function badArchive(message: string): AppError {
  return new AppError("validation_failed", message);
}

/** @throws AppError `validation_failed` when the block is no header. */
export function parseHeader(block: Buffer, offset: number): RawHeader {
  const sum = octal(block, 148, 8);
  if (sum !== checksumOf(block))
    throw badArchive(`it is no tar archive, or damaged: there is no header at byte ${offset}`);
  const posix = block.toString("latin1", 257, 263) === "ustar\0";
  const prefix = posix ? text(block, 345, 155) : "";
  const name = text(block, 0, 100);
  const flag = String.fromCharCode(block[156] ?? 0);
  return {
    name: prefix ? `${prefix}/${name}` : name,
    mode: number(block, 100, 8) & 0o7777,
    uid: number(block, 108, 8),
    gid: number(block, 116, 8),
    size: number(block, 124, 12),
    mtime: number(block, 136, 12),
    type: flag === "\0" ? "0" : flag,
    linkName: text(block, 157, 100),
  };
}

export function isZero(block: Buffer): boolean {
  return block.every((byte) => byte === 0);
}

/** Sum of the bytes, with the checksum's own field taken as spaces. */
export function checksumOf(block: Buffer): number {
  let sum = 8 * 0x20;
  for (let at = 0; at < BLOCK_BYTES; at++) if (at < 148 || at >= 156) sum += block[at] ?? 0;
  return sum;
}

function text(block: Buffer, offset: number, length: number): string {
  const field = block.subarray(offset, offset + length);
  const end = field.indexOf(0);
  return field.toString("latin1", 0, end < 0 ? length : end);
}

/** NaN when the field is no number. */
function octal(block: Buffer, offset: number, length: number): number {
  const digits = text(block, offset, length).trim();
  if (digits === "") return 0;
  return /^[0-7]+$/.test(digits) ? Number.parseInt(digits, 8) : Number.NaN;
}

/** Octal, or GNU's base 256 where the first bit is set; then the second bit is the sign. */
function number(block: Buffer, offset: number, length: number): number {
  const first = block[offset] ?? 0;
  if ((first & 0x80) === 0) return octal(block, offset, length);
  let value = BigInt(first & 0x40 ? (first & 0x7f) - 0x80 : first & 0x7f);
  for (let at = offset + 1; at < offset + length; at++) value = value * 256n + BigInt(block[at] ?? 0);
  return Number(value);
}
