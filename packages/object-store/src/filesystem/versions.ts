/**
 * Versions of files. Every write makes a file of its own and sets its time of change, so number, time and size name the
 * version; a file keeps its version when it is renamed. Who replaces a file makes its time later than that of the other:
 * a number that is used again cannot bring a version back.
 */
import type { BigIntStats } from "node:fs";
import type { FileHandle } from "node:fs/promises";
import type { Clock } from "@mags/core";
import type { Etag, ObjectHead } from "../object-store.ts";

/** What `setTime` can tell apart: a time is a number of seconds in 64 bits, which keeps a quarter of a microsecond. */
const STEP_SECONDS = 1e-6;

export function etagOf({ ino, mtimeNs, size }: BigIntStats): Etag {
  return [mtimeNs, ino, size].map((part) => part.toString(36)).join("-");
}

export function headOf(stats: BigIntStats): ObjectHead {
  return { sizeBytes: Number(stats.size), etag: etagOf(stats), modifiedAt: stats.mtime };
}

/** Sets a time of change that is now, and later than that of the file to be replaced. @returns the file's new stats. */
export async function setTime(
  file: FileHandle,
  { clock, replaced }: { readonly clock: Clock; readonly replaced?: BigIntStats | undefined },
): Promise<BigIntStats> {
  const seconds = clock.now().getTime() / 1000 + belowMillisecond();
  const least = replaced ? Number(replaced.mtimeNs) / 1e9 + STEP_SECONDS : 0;
  const time = Math.max(seconds, least);
  await file.utimes(time, time);
  return file.stat({ bigint: true });
}

/** The wall clock is read in milliseconds; what it was within one is drawn from a clock that is finer. */
function belowMillisecond(): number {
  return Number(process.hrtime.bigint() % 1_000_000n) / 1e9;
}

/** True when the file system keeps times fine enough to tell versions apart. */
export async function keepsTimes(file: Pick<FileHandle, "utimes" | "stat">): Promise<boolean> {
  const time = 1_700_000_000.123_456;
  await file.utimes(time, time);
  const { mtimeNs } = await file.stat({ bigint: true });
  return Math.abs(Number(mtimeNs - 1_700_000_000_123_456_000n)) < 1_000;
}
