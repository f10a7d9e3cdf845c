/**
 * What every call of the SDK rejects with.
 *
 * `message` says what was wrong and what to do. `statusCode` and `body` are those of the server's reply and undefined
 * when there was none. `retryAfter` are the seconds after which the server says that the same request may work. `code` is for programs: the server's code (`job_not_found`, `not_supported`, …) or one of
 * {@link ClientErrorCode}.
 */
export class MagsError extends Error {
  override readonly name = "MagsError";
  readonly statusCode: number | undefined;
  readonly body: unknown;
  readonly code: string | undefined;
  readonly retryAfter: number | undefined;

  constructor(message: string, details: MagsErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.statusCode = details.statusCode;
    this.body = details.body;
    this.code = details.code;
    this.retryAfter = details.retryAfter;
  }
}

export interface MagsErrorDetails {
  readonly statusCode?: number | undefined;
  readonly body?: unknown;
  readonly code?: string | undefined;
  readonly retryAfter?: number | undefined;
  readonly cause?: unknown;
}

/**
 * Codes of errors that do not come from the server: a bad argument or setting, no token, no connection, no answer in
 * time, an answer that is none of a Mags server, a followed job whose connection did not come back, a sandbox that did
 * not come to run.
 */
export type ClientErrorCode =
  | "invalid_argument"
  | "no_token"
  | "unreachable"
  | "timeout"
  | "unexpected_reply"
  | "connection_lost"
  | "job_failed";

export function clientError(code: ClientErrorCode, message: string, cause?: unknown): MagsError {
  return new MagsError(message, { code, cause });
}
