import { setTimeout as delay } from "node:timers/promises";
import { MagsError } from "./errors.ts";

const FIRST_DELAY_MS = 100;
const LONGEST_DELAY_MS = 2_000;

/** True for what may be gone at the next try: no connection, no answer, a server that starts or is too busy. */
export function isPassing(error: unknown): error is MagsError {
  if (!(error instanceof MagsError)) return false;
  // A full disk stays so until somebody makes room.
  if (error.statusCode === 507) return false;
  if (error.statusCode !== undefined) return error.statusCode >= 500 || error.statusCode === 429;
  return error.code === "unreachable" || error.code === "timeout";
}

/** Doubling pauses with a random part, so that the clients of a restarted server do not come back all at once. */
export async function pauseBeforeRetry(failures: number, signal: AbortSignal | undefined): Promise<void> {
  const longest = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** failures);
  try {
    await delay(longest / 2 + (Math.random() * longest) / 2, undefined, signal && { signal });
  } catch (error) {
    throw signal?.aborted ? signal.reason : error;
  }
}
