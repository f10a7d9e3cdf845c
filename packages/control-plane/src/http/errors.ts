import { AppError, firstFailure, type LogFields } from "@mags/core";

export interface ErrorReply {
  readonly status: number;
  readonly body: { readonly error: string; readonly code: string };
  readonly headers: Readonly<Record<string, string>>;
}

const BODY_TOO_LARGE = "FST_ERR_CTP_BODY_TOO_LARGE";

/** The one place where errors turn into replies. What is not ours to tell becomes a plain 500. */
export function errorReply(error: unknown, requestId: string): ErrorReply {
  const first = firstFailure(error);
  const known = first instanceof AppError ? first : fromFramework(first, requestId);
  return {
    status: known.status,
    body: { error: known.message, code: known.code },
    headers: {
      ...(known.code === "unauthenticated" && { "www-authenticate": 'Bearer realm="mags"' }),
      ...(known.retryAfterSeconds !== undefined && { "retry-after": String(known.retryAfterSeconds) }),
    },
  };
}

function fromFramework(error: unknown, requestId: string): AppError {
  const { statusCode, code, message } = (error ?? {}) as {
    readonly statusCode?: number;
    readonly code?: string;
    readonly message?: string;
  };
  if (code === BODY_TOO_LARGE)
    return new AppError("payload_too_large", "the request is larger than 8 MiB", { cause: error });
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500)
    return new AppError("validation_failed", message ?? "the request is not valid", { cause: error });
  return new AppError("internal", `something went wrong in the server; its log tells more about request ${requestId}`, {
    cause: error,
  });
}

/** An error, what caused it, and what else failed while clearing up, for the log. */
export function errorFields(error: unknown): LogFields {
  const first = firstFailure(error);
  const chain = chainOf(first);
  for (let at = error; at instanceof SuppressedError; at = at.suppressed) chain.push(...chainOf(at.error));
  return { error: chain, ...(first instanceof AppError && { code: first.code, details: first.details }) };
}

function chainOf(error: unknown): string[] {
  const chain: string[] = [];
  for (let at: unknown = error; at instanceof Error && chain.length < 8; at = at.cause)
    chain.push(at.stack ?? at.message);
  return chain;
}
