import { AppError } from "@mags/core";

/** What a file system cannot be: whoever wrote it made a mistake, or wants one to be made. */
export function damaged(what: string): AppError {
  return new AppError("validation_failed", `the file system is damaged: ${what}`);
}

/** What this reader does not do, and what can be done instead. */
export function unreadable(what: string, cure = "export the disk image and mount that"): AppError {
  return new AppError("not_supported", `the file system ${what}: ${cure}`);
}
