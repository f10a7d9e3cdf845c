import { setTimeout as delay } from "node:timers/promises";

export interface WaitOptions {
  /** What is waited for, for the message. */
  readonly what: string;
  readonly deadlineMs?: number;
  readonly intervalMs?: number;
}

/** Asks until the answer is neither false, null nor undefined, and gives it. Rejects after the deadline (10 s). */
export async function waitFor<T>(
  condition: () => T | Promise<T>,
  options: WaitOptions,
): Promise<Exclude<T, false | null | undefined>> {
  const deadline = performance.now() + (options.deadlineMs ?? 10_000);
  for (;;) {
    const answer = await condition();
    if (answer !== false && answer !== null && answer !== undefined)
      return answer as Exclude<T, false | null | undefined>;
    if (performance.now() > deadline) throw new Error(`gave up waiting for ${options.what}`);
    await delay(options.intervalMs ?? 10);
  }
}
