/** How long and how often to try again. */
import { AppError, isAppError, type Logger, sleep } from "@mags/core";

export interface PatienceDeps {
  readonly log: Logger;
  /** 0 ≤ number < 1. */
  readonly random: () => number;
}

export interface PatienceOptions {
  /** From the start to the end of the last attempt. */
  readonly deadlineMs: number;
  /** An attempt that was begun in time may take so much longer. Default: 0. */
  readonly transferMs?: number;
  /** The first pause is drawn up to this, each further one up to twice as much as that before. */
  readonly firstPauseMs: number;
  readonly maxPauseMs: number;
}

export interface Patience {
  /** Aborted when the time is over. */
  readonly over: AbortSignal;
  /** Waits before another attempt. @throws the error when that would be of no use, `unavailable` when the time is over. */
  afterFailure(error: unknown, options: { readonly signal?: AbortSignal | undefined }): Promise<void>;
}

/** @param call  What is attempted, for people. */
export function createPatience(call: string, { log, random }: PatienceDeps, options: PatienceOptions): Patience {
  const { deadlineMs, transferMs = 0, firstPauseMs, maxPauseMs } = options;
  const deadline = performance.now() + deadlineMs;
  const over = AbortSignal.timeout(Math.ceil(deadlineMs + transferMs));
  let attempts = 0;
  let last: unknown;

  function expired(cause: unknown): AppError {
    const message = `${call} was given up after ${deadlineMs / 1000} s and ${attempts} attempts`;
    return new AppError("unavailable", message, { cause });
  }

  return {
    over,
    async afterFailure(error, { signal }) {
      attempts++;
      signal?.throwIfAborted();
      if (over.aborted && !isAppError(error)) throw expired(last ?? error);
      if (!isAppError(error, "unavailable")) throw error;
      last = error;
      const drawnMs = random() * Math.min(maxPauseMs, firstPauseMs * 2 ** (attempts - 1));
      const pauseMs = Math.max(drawnMs, (error.retryAfterSeconds ?? 0) * 1000);
      if (performance.now() + pauseMs >= deadline) throw expired(error);
      log.info("object_store.retry", { call, attempts, reason: error.message, pause_ms: Math.round(pauseMs) });
      await sleep(pauseMs, signal ? { signal } : {});
    },
  };
}
