/** What went wrong with a file, in the terms of an object store. */
import { AppError, isAppError } from "@mags/core";

const CODE_OF = {
  ENOSPC: "disk_full",
  EDQUOT: "disk_full",
  EMFILE: "unavailable",
  ENFILE: "unavailable",
  ENOMEM: "unavailable",
  EAGAIN: "unavailable",
  EACCES: "object_store_refused",
  EPERM: "object_store_refused",
  EROFS: "object_store_refused",
} as const;

const REASON_OF = {
  disk_full: "its disk is full",
  unavailable: "the machine is short of memory or open files",
  object_store_refused: "this process may not write there",
} as const;

export function errnoOf(error: unknown): string {
  return (error as NodeJS.ErrnoException | null)?.code ?? "";
}

/** True when there is no such file, or a file stands where a folder would have to be. */
export function isMissing(error: unknown): boolean {
  return ["ENOENT", "ENOTDIR"].includes(errnoOf(error));
}

/** The AppError for what a call of the file system threw; other errors, such as the reason of a signal, as they are. */
export function fileError(error: unknown, what: string): unknown {
  if (isAppError(error) || (error as NodeJS.ErrnoException | null)?.syscall === undefined) return error;
  const errno = errnoOf(error);
  if (!Object.hasOwn(CODE_OF, errno)) return new AppError("internal", `${what} failed`, { cause: error });
  const code = CODE_OF[errno as keyof typeof CODE_OF];
  return new AppError(code, `${what} failed: ${REASON_OF[code]}`, { cause: error });
}
