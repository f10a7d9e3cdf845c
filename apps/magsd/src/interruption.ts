/** For commands that have something to clear up when they are told to end. */
import { constants } from "node:os";
import { messageOf } from "@mags/core";

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/**
 * Does work that ends soon after its signal is aborted, with nothing left of it. Once it has, the process exits as one
 * that the operating system's signal ended; a second one of the same name ends it at once.
 */
export async function untilInterrupted(work: (signal: AbortSignal) => Promise<void>): Promise<void> {
  const interruption = new AbortController();
  let by: (typeof SIGNALS)[number] | undefined;
  const listeners = SIGNALS.map((name) => {
    const listener = () => {
      by ??= name;
      interruption.abort(new Error(`ended by ${name}`));
    };
    process.once(name, listener);
    return { name, listener };
  });
  try {
    await work(interruption.signal);
  } catch (error) {
    if (by === undefined) throw error;
    const more = error instanceof SuppressedError ? `; clearing up failed: ${messageOf(error.error)}` : "";
    process.stderr.write(`magsd: ended by ${by}${more}\n`);
    process.exit(128 + constants.signals[by]); // a call to the server may still hold the event loop
  } finally {
    for (const { name, listener } of listeners) process.off(name, listener);
  }
}

/** Of a server: aborted when it is asked to end. The terminal that it was started from may close. */
export function askedToEnd(): AbortSignal {
  const stopping = new AbortController();
  for (const name of ["SIGINT", "SIGTERM"] as const) process.on(name, () => stopping.abort());
  process.on("SIGHUP", () => {});
  return stopping.signal;
}
