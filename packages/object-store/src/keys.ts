/** What a key may be, the same for all stores. */
import { AppError } from "@mags/core";
import type { ByteRange } from "./object-store.ts";

/** Of a key in UTF-8. S3 takes 1024 with the prefix of the configuration. */
export const MAX_KEY_BYTES = 512;
/** Of one segment of a key, in UTF-8: what file systems take for a name. */
const MAX_SEGMENT_BYTES = 255;
/** Objects are sent and received whole, from memory. */
export const MAX_OBJECT_BYTES = 256 * 1024 * 1024;

/** Control characters and what else XML 1.0 cannot hold. */
const UNLISTABLE = /[\p{Cc}\uFFFE\uFFFF]/u;

/**
 * A key is segments of any characters but control characters, with `/` between them; none is empty, `.` or `..`. No
 * object's key is the folder of another's (`a` and `a/b`): a file system cannot hold both.
 */
export function isKey(key: string): boolean {
  if (!key.isWellFormed() || UNLISTABLE.test(key) || Buffer.byteLength(key) > MAX_KEY_BYTES) return false;
  return key
    .split("/")
    .every((segment) => segment !== "" && segment !== "." && segment !== ".." && fits(segment, MAX_SEGMENT_BYTES));
}

/** @throws AppError `validation_failed` */
export function checkKey(key: string): void {
  if (!isKey(key)) throw new AppError("validation_failed", `${shownKey(key)} cannot be the key of an object`);
}

/** @throws AppError `validation_failed` for what no key can begin with. */
export function checkPrefix(prefix: string): void {
  if (prefix !== "" && !isKey(prefix) && !isKey(`${prefix}x`))
    throw new AppError("validation_failed", `no key begins with ${shownKey(prefix)}`);
}

/** @throws AppError `validation_failed` */
export function checkRange({ start, end }: ByteRange): void {
  if (!Number.isSafeInteger(start) || !Number.isSafeInteger(end) || start < 0 || end <= start)
    throw new AppError("validation_failed", `a range of bytes cannot go from ${start} to ${end}`);
  if (end - start > MAX_OBJECT_BYTES)
    throw new AppError("validation_failed", `a range of bytes has at most ${MAX_OBJECT_BYTES} bytes`);
}

/** @throws AppError `payload_too_large` */
export function checkSize(key: string, sizeBytes: number): void {
  if (sizeBytes > MAX_OBJECT_BYTES)
    throw new AppError("payload_too_large", `${key} has ${sizeBytes} bytes; an object has at most ${MAX_OBJECT_BYTES}`);
}

/** Negative, zero or positive, as a stands before, at or behind b. Not the order of JavaScript, which is that of UTF-16. */
export function compareKeys(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

export function notFound(key: string, location: string): AppError {
  return new AppError("object_not_found", `there is no object ${key} in ${location}`);
}

export function conditionFailed(key: string, location: string): AppError {
  return new AppError("precondition_failed", `${key} in ${location} is not in the state it was to be written over`);
}

export function rangeBeyond(key: string, range: ByteRange): AppError {
  return new AppError("range_not_satisfiable", `${key} ends before byte ${range.end}`, { details: { key, ...range } });
}

export function folderInTheWay(key: string): AppError {
  return new AppError(
    "validation_failed",
    `${key} and another object stand in each other's way: one is below the other`,
  );
}

function shownKey(key: string): string {
  return JSON.stringify(key.length > 80 ? `${key.slice(0, 80)}…` : key);
}

function fits(text: string, maxBytes: number): boolean {
  return Buffer.byteLength(text) <= maxBytes;
}
