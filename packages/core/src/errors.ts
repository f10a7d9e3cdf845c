/**
 * Every error code of the server and the HTTP status it turns into. A code exists only when something of ours
 * branches on it; the wire carries `{"error": message, "code": code}`.
 */
export const ERROR_STATUS = {
  validation_failed: 400,
  not_supported: 400,
  unauthenticated: 401,
  forbidden: 403,
  job_not_found: 404,
  route_not_found: 404,
  token_not_found: 404,
  ssh_key_not_found: 404,
  sandbox_not_found: 404,
  exec_not_found: 404,
  file_not_found: 404,
  object_not_found: 404,
  workspace_not_found: 404,
  url_not_found: 404,
  alias_not_found: 404,
  version_not_found: 404,
  job_not_running: 409,
  ssh_key_exists: 409,
  alias_exists: 409,
  url_not_enabled: 409,
  ssh_key_name_taken: 409,
  exec_exists: 409,
  exec_taken_over: 409,
  no_vm: 409,
  workspace_in_use: 409,
  sandbox_busy: 409,
  lease_held: 409,
  lease_lost: 409,
  file_conflict: 409,
  precondition_failed: 412,
  payload_too_large: 413,
  range_not_satisfiable: 416,
  too_many_requests: 429,
  internal: 500,
  guest_failed: 500,
  guest_protocol_violation: 500,
  microvm_lost: 500,
  store_corrupt: 500,
  chunk_corrupt: 500,
  capacity_exhausted: 503,
  unavailable: 503,
  connection_refused: 502,
  bad_gateway: 502,
  guest_timeout: 504,
  changes_not_synced: 503,
  object_store_refused: 503,
  object_store_unfit: 503,
  disk_full: 507,
} as const;

export type ErrorCode = keyof typeof ERROR_STATUS;

export interface AppErrorOptions {
  readonly cause?: unknown;
  /** Private context: logged, never sent. */
  readonly details?: Readonly<Record<string, unknown>>;
  /** When the same request may be worth another try: the reply says so. */
  readonly retryAfterSeconds?: number;
}

/** The one error class of the server. `message` is for the user: what was attempted, what was wrong, what to do. */
export class AppError extends Error {
  override readonly name = "AppError";
  readonly code: ErrorCode;
  readonly details: Readonly<Record<string, unknown>>;
  readonly retryAfterSeconds: number | undefined;

  constructor(code: ErrorCode, message: string, options: AppErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.details = options.details ?? {};
    this.retryAfterSeconds = options.retryAfterSeconds;
  }

  get status(): number {
    return ERROR_STATUS[this.code];
  }
}

export function isAppError(error: unknown, code?: ErrorCode): error is AppError {
  return error instanceof AppError && (code === undefined || error.code === code);
}

/** What failed first, where clearing up failed, too: a SuppressedError holds both. */
export function firstFailure(error: unknown): unknown {
  return error instanceof SuppressedError ? firstFailure(error.suppressed) : error;
}

/** The text of anything thrown, for a message that quotes its cause: of what failed first. */
export function messageOf(error: unknown): string {
  const first = firstFailure(error);
  return first instanceof Error ? first.message : String(first);
}
