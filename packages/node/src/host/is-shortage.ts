import { firstFailure, isAppError } from "@mags/core";

/** Room, memory, processes and descriptors of the host. */
const SHORTAGES = new Set(["ENOSPC", "EDQUOT", "ENOMEM", "EAGAIN", "EMFILE", "ENFILE"]);

/** True when it failed for what is short or away just now, by what the error or one of its causes says: later it may succeed. */
export function isShortage(error: unknown): boolean {
  for (let one = firstFailure(error); one instanceof Error; one = firstFailure(one.cause))
    if (isAppError(one, "unavailable") || SHORTAGES.has((one as NodeJS.ErrnoException).code ?? "")) return true;
  return false;
}

/** True when it failed for want of room on the host's disk, by what the error or one of its causes says. */
export function isOfFullDisk(error: unknown): boolean {
  for (let one = firstFailure(error); one instanceof Error; one = firstFailure(one.cause)) {
    if (isAppError(one, "disk_full")) return false; // of another disk, which it names
    if (["ENOSPC", "EDQUOT"].includes((one as NodeJS.ErrnoException).code ?? "")) return true;
  }
  return false;
}
