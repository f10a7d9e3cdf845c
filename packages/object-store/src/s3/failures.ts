/** What an answer other than success means. */
import { AppError, type ErrorCode } from "@mags/core";
import type { Answer } from "./transport.ts";
import { parseXml, textOf } from "./xml.ts";

/** By the `Code` of the answer's XML, whatever its status. */
const BY_CODE: Readonly<Record<string, ErrorCode>> = {
  NoSuchKey: "object_not_found",
  PreconditionFailed: "precondition_failed",
  InvalidRange: "range_not_satisfiable",
  QuotaExceeded: "disk_full",
  // Two writes at the same time, of which one is told to come again.
  ConditionalRequestConflict: "unavailable",
  OperationAborted: "unavailable",
  ConcurrentModification: "unavailable",
  // What arrived was not what was sent.
  BadDigest: "unavailable",
  XAmzContentSHA256Mismatch: "unavailable",
  IncompleteBody: "unavailable",
  RequestTimeout: "unavailable",
  SlowDown: "unavailable",
};

/** Where the answer has no code that says it better. A 404 without one comes from no S3 store: it says nothing of objects. */
const BY_STATUS: Readonly<Record<number, ErrorCode>> = {
  408: "unavailable",
  412: "precondition_failed",
  416: "range_not_satisfiable",
  425: "unavailable",
  429: "unavailable",
  501: "object_store_refused",
  507: "disk_full",
};

const HINTS: Readonly<Record<string, string>> = {
  NoSuchBucket: "there is no such bucket",
  SignatureDoesNotMatch: "the secret key is not that of the access key",
  InvalidAccessKeyId: "there is no such access key",
  AccessDenied: "the access key may not do that",
  RequestTimeTooSkewed: "the clocks of the store and of this machine differ too much",
};

/** @param what  What was attempted: `reading KEY in PLACE`. */
export function failureOf({ status, headers, body }: Answer, what: string): AppError {
  const { code, message } = readFailure(body);
  const meaning = BY_CODE[code] ?? BY_STATUS[status] ?? (status >= 500 ? "unavailable" : "object_store_refused");
  const region = headers["x-amz-bucket-region"];
  const hint =
    HINTS[code] ?? (status >= 300 && status < 400 && region ? `the bucket is in region ${region}` : undefined);
  const answered = `the store answered ${[status, code].filter(Boolean).join(" ")}`;
  const retryAfter = Number(headers["retry-after"]);
  return new AppError(meaning, `${what} failed: ${hint ? `${hint} (${answered})` : answered}`, {
    details: { status, storeCode: code, storeMessage: message, requestId: headers["x-amz-request-id"] },
    ...(meaning === "unavailable" && retryAfter > 0 ? { retryAfterSeconds: retryAfter } : {}),
  });
}

function readFailure(body: Buffer): { readonly code: string; readonly message: string } {
  try {
    const root = parseXml(body.toString("utf8"));
    const code = root.name === "Error" ? (textOf(root, "Code") ?? "") : "";
    if (/^[A-Za-z0-9.]{1,64}$/.test(code)) return { code, message: printable(textOf(root, "Message") ?? "") };
  } catch {
    // What stands there is for the log only.
  }
  return { code: "", message: printable(body.toString("latin1")) };
}

function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]+/g, " ").slice(0, 300);
}
