/** What a guest's refusal to work on a file means for whoever asked. */
import { AppError, type ErrorCode, isAppError } from "@mags/core";
import type { GuestFailure } from "../agent/index.ts";
import { foreignText } from "../foreign-text.ts";

const MAX_PATH_TEXT = 200;
const MAX_TAR_TEXT = 500;

interface Meaning {
  readonly code: ErrorCode;
  readonly text: string;
}

const MEANINGS: Readonly<Record<string, Meaning>> = {
  ENOENT: { code: "file_not_found", text: "there is no such file or folder" },
  ENOTDIR: { code: "file_not_found", text: "a part of the path is no folder" },
  EISDIR: { code: "file_conflict", text: "it is a folder" },
  EEXIST: { code: "file_conflict", text: "it exists already" },
  ENOTEMPTY: { code: "file_conflict", text: "the folder is not empty" },
  EBUSY: { code: "file_conflict", text: "it is in use: the root of a file system, or what contains one" },
  EXDEV: {
    code: "file_conflict",
    text: "it cannot be moved in one step, as it is a part of the image or of another file system: copy it",
  },
  EPERM: { code: "file_conflict", text: "the guest does not permit it" },
  EACCES: { code: "file_conflict", text: "the guest does not permit it" },
  EROFS: { code: "file_conflict", text: "its file system is read-only" },
  ETXTBSY: { code: "file_conflict", text: "it is a program that runs" },
  EINVAL: { code: "file_conflict", text: "it is of a kind that this cannot be done with" },
  ELOOP: { code: "file_conflict", text: "its links lead in a circle" },
  ENAMETOOLONG: { code: "validation_failed", text: "the name is too long" },
  ENOSPC: { code: "disk_full", text: "the guest's disk is full" },
  EDQUOT: { code: "disk_full", text: "the guest's disk is full" },
  EFBIG: { code: "disk_full", text: "it is larger than a file may be in the guest" },
  EMFILE: { code: "unavailable", text: "the guest has too many files and commands open for the API: try again" },
  EAGAIN: { code: "unavailable", text: "the guest is busy: try again" },
  ENOSYS: { code: "not_supported", text: "this VM was started by an older version that could not do this" },
};

/** Written by tar in the guest, in the language C; that of GNU does not say why a write was short. */
const TAR_DISK_FULL = /No space left on device|Wrote only \d+ of \d+ bytes/;

/** A stream that was opened and failed; not yet told what it was about. */
export function streamFailure(failure: GuestFailure): AppError {
  return new AppError("guest_failed", `the guest failed: ${failure.step}: ${failure.code}`, { details: { failure } });
}

/** What the guest said of it, where that is why. */
export function failureOf(error: unknown): GuestFailure | undefined {
  return isAppError(error, "guest_failed") ? (error.details.failure as GuestFailure | undefined) : undefined;
}

/**
 * @param what  What could not be done, for the user: `read`.
 * @returns an error that says so of the path, or the error itself where it is about something else.
 */
export function explainFileError(error: unknown, what: string, path: Buffer): unknown {
  const failure = failureOf(error);
  if (!failure) return error;
  const told = failure.step === "tar" ? meaningOfTar(failure) : MEANINGS[failure.code];
  const { code, text } = told ?? { code: "guest_failed" as const, text: `${failure.step}: ${failure.code}` };
  return new AppError(code, `cannot ${what} ${shownPath(path)}: ${text}`, { cause: error, details: { failure } });
}

function meaningOfTar({ message }: GuestFailure): Meaning {
  if (TAR_DISK_FULL.test(message)) return { code: "disk_full", text: "the guest's disk is full" };
  return { code: "file_conflict", text: foreignText(message.trim(), MAX_TAR_TEXT) || "tar failed in the guest" };
}

export function shownPath(path: Buffer): string {
  return JSON.stringify(foreignText(path.toString("utf8"), MAX_PATH_TEXT));
}
