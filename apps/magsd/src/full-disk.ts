/** The disk of the data directory is full, and what is said of it. */
import { statfs } from "node:fs/promises";
import { AppError, firstFailure, isAppError } from "@mags/core";

/** Less is none: the file system keeps some for itself. */
const FULL_BYTES = 16 * 1024 ** 2;

export async function isDiskFull(directory: string): Promise<boolean> {
  const { bavail, bsize } = await statfs(directory);
  return bavail * bsize < FULL_BYTES;
}

export function diskFullError(directory: string, options: { readonly cause?: unknown } = {}): AppError {
  return new AppError("disk_full", `the host's disk is full: free some room under ${directory}`, options);
}

/** What is said of a start that failed: that the disk is full, where that explains it. */
export async function explainFullDisk(error: unknown, directory: string): Promise<unknown> {
  const first = firstFailure(error);
  if (isAppError(first, "validation_failed")) return error;
  const isToldSo = (first as NodeJS.ErrnoException | null)?.code === "ENOSPC";
  const isFull = isToldSo || (await isDiskFull(directory).catch(() => false)); // it could not even be made
  return isFull ? diskFullError(directory, { cause: error }) : error;
}
