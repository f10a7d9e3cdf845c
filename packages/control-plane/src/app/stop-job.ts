import { randomUUID } from "node:crypto";
import { AppError, isAppError, messageOf, untilAborted } from "@mags/core";
import { isTerminal, type SandboxId } from "@mags/domain";
import { isScriptOver, type Job } from "./job.ts";
import type { JobChanges } from "./job-changes.ts";
import { neverStarted } from "./job-end.ts";
import type { JobQueue } from "./job-queue.ts";
import type { JobStore } from "./job-store.ts";
import type { JobWriter } from "./job-writer.ts";
import { type ReleaseDeps, type ReleaseOptions, releaseSandbox } from "./release-sandbox.ts";
import { untilJob } from "./until-job.ts";

export interface StopDeps extends ReleaseDeps {
  readonly store: JobStore;
  readonly writer: JobWriter;
  readonly queue: Pick<JobQueue, "withdraw" | "leave">;
  readonly changes: JobChanges;
}

/** Ended before or within the patience of whoever waited, or still on the way: the wish is stored. */
export type Stopped =
  | { readonly kind: "ended" }
  | { readonly kind: "ending" }
  /** Its last changes cannot be published now, for this reason. It lives until they are; that is tried again and again. */
  | { readonly kind: "unsynced"; readonly reason: string };

export const ENDED: Stopped = { kind: "ended" };

export interface StopOptions {
  readonly patienceMs: number;
  /** Ends the sandbox also when its last changes cannot be published. */
  readonly discard?: boolean;
}

/**
 * Ends a job: writes the wish down, so that a restart does not forget it, has the node release the microVM, and waits
 * until the end is stored. Of a job that only borrows a sandbox the script ends. What is not done within `patienceMs`
 * goes on without the caller.
 * @throws AppError `unavailable` when the wish is not stored within `patienceMs`.
 */
export async function stopJob(deps: StopDeps, job: Job, options: StopOptions): Promise<Stopped> {
  if (isTerminal(job.status)) return ENDED;
  const { store, node, writer, queue, clock } = deps;

  async function end(): Promise<void> {
    queue.withdraw(job.id);
    const latest = await store.get(job.id);
    // Another may have taken over from it: then the sandbox is that one's.
    if (!latest || isTerminal(latest.status)) return;
    // With its owner goes the sandbox, and with it whatever else runs in it.
    if (job.sandbox?.owns) await releaseOrTell(deps, job.sandbox.id, { reason: "stopped", discard: options.discard });
    else await node.stop(job.id);
    if (node.observe().some((seen) => seen.jobId === job.id)) return;
    // The node never had it, or has told of its end already: then this changes nothing.
    queue.leave(job.id);
    await writer.storeEnd(job.id, neverStarted(clock.now()));
  }

  const event = { at: clock.now(), name: "stop_requested", data: {} };
  const wish = async () => void (await store.requestStop(job.id, event));
  return carryOut(deps, job, { wish, end, patienceMs: options.patienceMs, isDone: ({ status }) => isTerminal(status) });
}

/**
 * Ends the script of a job and leaves its sandbox: the job of an owner goes on, if its script had begun. For others this
 * is `stopJob`.
 */
export async function stopScript(deps: StopDeps, job: Job, options: { readonly patienceMs: number }): Promise<Stopped> {
  if (isScriptOver(job)) return ENDED;
  if (!job.sandbox?.owns) return stopJob(deps, job, options);
  const { store, node, writer, queue, clock } = deps;
  const event = { at: clock.now(), name: "script_stop_requested", data: {} };
  const reportId = randomUUID();
  return carryOut(deps, job, {
    wish: () => store.addEvent(job.id, event, reportId),
    async end() {
      queue.withdraw(job.id);
      await node.stop(job.id);
      if (node.observe().some((seen) => seen.jobId === job.id)) return;
      queue.leave(job.id);
      await writer.storeEnd(job.id, neverStarted(clock.now()));
    },
    patienceMs: options.patienceMs,
    isDone: isScriptOver,
  });
}

interface Ending {
  readonly wish: () => Promise<void>;
  readonly end: () => Promise<void>;
  readonly isDone: (job: Job) => boolean;
  readonly patienceMs: number;
}

async function carryOut(deps: StopDeps, job: Job, ending: Ending): Promise<Stopped> {
  const patience = AbortSignal.timeout(ending.patienceMs);
  const wished = deps.writer.change(job.id, ending.wish);
  const done = wished.then(ending.end);
  done.catch((error: unknown) => deps.log.warn("job.stop_failed", { jobId: job.id, error: messageOf(error) }));
  await untilAborted(wished, patience).catch((cause: unknown) => {
    if (!patience.aborted) throw cause;
    throw new AppError("unavailable", "the database does not answer now, so the job may run on: stop it again", {
      cause,
    });
  });
  try {
    await untilAborted(done, patience);
    await untilJob(deps, job.id, ending.isDone, { signal: patience });
    return ENDED;
  } catch (error) {
    return stoppedBy(error);
  }
}

/** What is left of a release that did not come to its end. */
export function stoppedBy(error: unknown): Stopped {
  return isAppError(error, "changes_not_synced") ? { kind: "unsynced", reason: error.message } : { kind: "ending" };
}

/** As `releaseSandbox`; the first time that it cannot publish is an event. */
export async function releaseOrTell(deps: ReleaseDeps, sandboxId: SandboxId, options: ReleaseOptions): Promise<void> {
  const { sandboxes, clock } = deps;
  await releaseSandbox(deps, sandboxId, options).catch(async (error: unknown) => {
    if (isAppError(error, "changes_not_synced")) {
      const event = { at: clock.now(), name: "stop_waits", data: { reason: error.message } };
      await sandboxes.tell(sandboxId, event, sandboxId);
    }
    throw error;
  });
}
