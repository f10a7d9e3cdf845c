/** How the server process ends when something goes wrong. */
import { messageOf } from "@mags/core";
import type { ServerLogger } from "./logger.ts";

/** One line for people: what failed first, where clearing up failed, too. */
export function failureText(error: unknown): string {
  return error instanceof SuppressedError ? failureText(error.suppressed) : messageOf(error);
}

/**
 * An error that nobody waited for leaves the process in a state that nobody knows: it ends, with the reason in the log.
 * microVMs and database go on, and the next start takes them over.
 */
export function endOnStrayErrors(log: ServerLogger): void {
  // Node hands rejections that nobody handles to the same event.
  process.on("uncaughtException", (error, origin) => fail(log, "server.crashed", error, origin));
}

/** Logs what ended the server, says it on stderr, and ends the process. */
export function fail(log: ServerLogger, event: string, error: unknown, origin?: string): never {
  log.fatal(event, { error, ...(origin !== undefined && { origin }) });
  process.stderr.write(`magsd: ${failureText(error)}\n`);
  process.exit(1);
}
