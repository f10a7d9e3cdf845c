import { diskFullError, firstFailure, isAppError, isDiskFull } from "@mags/core";

/** What is said of a start that failed: that the disk is full, where that explains it. */
export async function explainFullDisk(error: unknown, directory: string): Promise<unknown> {
  const first = firstFailure(error);
  if (isAppError(first, "validation_failed")) return error;
  const isToldSo = (first as NodeJS.ErrnoException | null)?.code === "ENOSPC";
  const isFull = isToldSo || (await isDiskFull(directory).catch(() => false)); // it could not even be made
  return isFull ? diskFullError(directory, { cause: error }) : error;
}
