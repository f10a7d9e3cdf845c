/** Failures that the guest reports. */
import { getSystemErrorName } from "node:util";
import { AppError } from "@mags/core";
import { foreignText } from "../foreign-text.ts";
import type { FieldReader } from "./fields.ts";
import { TAG } from "./wire.ts";

/** Longest text of the guest that is kept. */
const MAX_TEXT_BYTES = 8_192;

export interface GuestFailure {
  /** Linux errno; 0 when none applies. */
  readonly errno: number;
  /** Its name, such as `ENOENT`; empty when there is none. */
  readonly code: string;
  /** What was being done. */
  readonly step: string;
  readonly message: string;
}

export function readText(value: Buffer | undefined): string {
  return value ? foreignText(value.toString("utf8", 0, Math.min(value.length, MAX_TEXT_BYTES)), MAX_TEXT_BYTES) : "";
}

export function readFailure(fields: FieldReader): GuestFailure {
  const errno = fields.u32(TAG.errno) ?? 0;
  return {
    errno,
    code: errorName(errno),
    step: readText(fields.bytes(TAG.step)),
    message: readText(fields.bytes(TAG.message)),
  };
}

function errorName(errno: number): string {
  if (errno < 1 || errno > 4095) return "";
  const name = getSystemErrorName(-errno);
  return name.startsWith("Unknown") ? `errno ${errno}` : name;
}

/** The error of a request that the guest refused. `details.failure` is the GuestFailure. */
export function guestError(what: string, failure: GuestFailure): AppError {
  const reasons = [failure.step, failure.code, failure.message].filter((reason) => reason !== "");
  return new AppError("guest_failed", `the guest could not ${what}: ${reasons.join(": ") || "no reason given"}`, {
    details: { failure },
  });
}
