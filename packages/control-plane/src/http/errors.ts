import { AppError, type LogFields } from "@mags/core";

export interface ErrorReply {
  readonly status: number;
  readonly body: { readonly error: string; readonly code: string };
  readonly headers: Readonly<Record<string, string>>;
}

const BODY_TOO_LARGE = "FST_ERR_CTP_BODY_TOO_LARGE";

/** The one place where errors turn into replies. What is not ours to tell becomes a plain 500. */
export function errorReply(error: unknown, requestId: string): ErrorReply {
  const known = error instanceof AppError ? error : fromFramework(error, requestId);
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

/** An error and what caused it, for the log. */
export function errorFields(error: unknown): LogFields {
  const chain: string[] = [];
  for (let at: unknown = error; at instanceof Error && chain.length < 8; at = at.cause)
    chain.push(at.stack ?? at.message);
  return { error: chain, ...(error instanceof AppError && { code: error.code, details: error.details }) };
}
