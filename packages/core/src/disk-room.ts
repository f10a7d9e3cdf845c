import { statfs } from "node:fs/promises";
import { AppError } from "./errors.ts";

/** Less is none: a write may be larger, and the file system keeps some for itself. */
const FULL_BYTES = 16 * 1024 ** 2;

/**
 * Whether the file system has no room there.
 * @param leastBytes  What has to be free for what was to be written. Default: 16 MiB.
 */
export async function isDiskFull(directory: string, leastBytes = FULL_BYTES): Promise<boolean> {
  const { bavail, bsize } = await statfs(directory);
  return bavail * bsize < leastBytes;
}

/** @param directory  Where room is needed: for the operator. */
export function diskFullError(directory: string, options: { readonly cause?: unknown } = {}): AppError {
  return new AppError("disk_full", `the host's disk is full: free some room under ${directory}`, options);
}
