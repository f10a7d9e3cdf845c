/** How the server process ends when something goes wrong. */
import { firstFailure, isAppError, messageOf } from "@mags/core";
import type { ServerLogger } from "./logger.ts";

/**
 * An error that nobody waited for leaves the process in a state that nobody knows: it ends, with the reason in the log.
 * microVMs and database go on, and the next start takes them over.
 */
export function endOnStrayErrors(log: ServerLogger): void {
  // Node hands rejections that nobody handles to the same event.
  process.on("uncaughtException", (error, origin) => fail(log, "server.crashed", error, origin));
}

/** EX_CONFIG of sysexits.h: to try again is of no use. */
const MISCONFIGURED = 78;

export function exitCodeOf(error: unknown): number {
  return isAppError(firstFailure(error), "validation_failed") ? MISCONFIGURED : 1;
}

/** Logs what ended the server, says it on stderr, and ends the process. */
export function fail(log: ServerLogger, event: string, error: unknown, origin?: string): never {
  const words = messageOf(error);
  log.fatal(event, { error, words, ...(origin !== undefined && { origin }) });
  process.stderr.write(`magsd: ${words}\n`);
  process.exit(exitCodeOf(error));
}
