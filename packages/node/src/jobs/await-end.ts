import { type Clock, type Logger, messageOf, sleep } from "@mags/core";
import type { JobEnd } from "@mags/domain";
import type { StreamEnd } from "../agent/index.ts";
import type { RunningJob } from "./job-entry.ts";

/** The agent enforces time-outs: SIGTERM, then SIGKILL after this. */
export const KILL_AFTER_MS = 10_000;
export const TIMEOUT_EXIT_CODE = 124;
/** The node steps in when the agent has not for this much longer. */
const TIMEOUT_SLACK_MS = 5_000;
const DRAIN_MS = 500;

/**
 * Waits for the end of a job's script, of its microVM, of its log or of its time, whichever comes first. Never rejects.
 * @param remainingMs  Time the script still has; null: no limit.
 */
export async function awaitEnd(
  deps: { readonly clock: Clock; readonly log: Logger },
  job: RunningJob,
  remainingMs: number | null,
): Promise<JobEnd> {
  const { jobId, microVm, stream, output } = job;
  const endedAtMs = () => deps.clock.now().getTime();
  const over = new AbortController();

  async function lost(): Promise<JobEnd> {
    const reason = await microVm.lost;
    // What QEMU passed on before it ended may still be on its way.
    await Promise.race([stream.ended.catch(() => {}), sleep(DRAIN_MS)]);
    return { kind: "failed", message: `the VM was lost: ${reason}`, endedAtMs: endedAtMs() };
  }

  async function outOfTime(timeMs: number): Promise<JobEnd> {
    await sleep(timeMs + KILL_AFTER_MS + TIMEOUT_SLACK_MS, { signal: over.signal });
    return {
      kind: "exited",
      exitCode: TIMEOUT_EXIT_CODE,
      timedOut: true,
      durationMs: Math.round(deps.clock.bootMs() - job.startedAtBootMs),
      endedAtMs: endedAtMs(),
    };
  }

  try {
    return await Promise.race([
      stream.ended.then((end) => fromStreamEnd(end, endedAtMs()), lost),
      lost(),
      output.failed,
      ...(remainingMs === null ? [] : [outOfTime(remainingMs)]),
    ]);
  } catch (error) {
    deps.log.error("job.log_failed", { jobId, error: messageOf(error) });
    return outputFailed(messageOf(error), endedAtMs());
  } finally {
    over.abort();
  }
}

export function outputFailed(reason: string, endedAtMs: number): JobEnd {
  return { kind: "failed", message: `its output could not be stored: ${reason}`, endedAtMs };
}

export function fromStreamEnd(end: StreamEnd, endedAtMs: number): JobEnd {
  return {
    kind: "exited",
    exitCode: end.timedOut ? TIMEOUT_EXIT_CODE : end.exitCode,
    timedOut: end.timedOut,
    durationMs: Math.round(Number(end.durationNs) / 1e6),
    endedAtMs,
  };
}
