/**
 * Holds accepted jobs until they may go to the node, hands them over, and ends those that waited too long. Which go, and
 * in what order, the books of `createAdmission` say; this is what acts on them. It owns no job: the database does, and
 * `createAdoption` makes the books anew from it and from what the node reports.
 *
 * Waiting is counted by a clock that is never stepped, from when this process knew of the job: a restart gives a job more
 * time, never less.
 */
import { AppError, type Clock, messageOf, withDeadline } from "@mags/core";
import {
  type Admission,
  type AdmissionLimits,
  createAdmission,
  exceededLimit,
  type JobEnd,
  type JobId,
  type JobStart,
  type JobUpdate,
  NO_USAGE,
  type SandboxId,
} from "@mags/domain";
import { createHandOver, type HandOverDeps } from "./hand-over.ts";
import type { NewJob } from "./job.ts";
import { neverStarted, withdrawnOutcome } from "./job-end.ts";
import type { JobWriter } from "./job-writer.ts";
import { type Adoption, createAdoption, type FoundJobs, type JobToHold } from "./queue-adoption.ts";
import { LIMIT_NAMES, neverFitsText, overdueText, refusal, waitText } from "./queue-text.ts";
import { type HeldJob, type LateJob, watchQueue } from "./queue-watch.ts";

export interface QueueLimits extends AdmissionLimits {
  /** How long a job may be without a microVM. */
  readonly queueMs: number;
}

export interface JobQueueDeps extends HandOverDeps {
  readonly writer: JobWriter;
  readonly clock: Clock;
  readonly onRefused: (by: "account" | "server") => void;
  readonly onOverdue: () => void;
}

export interface JobQueue extends AsyncDisposable {
  /**
   * Takes a place for a job that is about to be stored.
   * @throws AppError `validation_failed` when it can never fit, `too_many_requests` or `capacity_exhausted` when it
   * would have to wait and too many do.
   */
  enter(job: NewJob): void;
  /** It is stored: the node gets it now if it may, else in its turn. */
  stored(start: JobStart): void;
  /** It was not: its place is free again. */
  notStored(jobId: JobId): void;
  /** Takes note of what the node reports. @returns the report as it is to be stored. */
  reported(update: JobUpdate): JobUpdate;
  /** Keeps a job from the node that does not have it yet. */
  withdraw(jobId: JobId): void;
  /** It is over, whatever the node says: its place is free. */
  leave(jobId: JobId): void;
  /** It is no more. */
  vacate(sandboxId: SandboxId): void;
  readonly exceededBy: Admission["exceededBy"];
  readonly resize: Admission["resize"];
  readonly known: Adoption["known"];
  /** Puts the books right. */
  adopt(found: FoundJobs): void;
  /** Hands over nothing more, and ends the jobs that the node does not have. */
  endAll(): Promise<void>;
  /** Jobs that the node does not have yet and that will run in this image. */
  waitingIn(image: string): readonly JobId[];
  /** Jobs that wait here. */
  readonly waiting: number;
}

/** In the node's own queue: enough that it never waits for a hand-over, few enough that accounts take turns. */
const NODE_QUEUE = 4;
const TICK_MS = 1_000;
const END_ALL_MS = 10_000;

export function createJobQueue(deps: JobQueueDeps, limits: QueueLimits): JobQueue {
  const { store, node, writer, clock, log } = deps;
  const admission = createAdmission(limits, { nodeQueue: NODE_QUEUE });
  const held = new Map<JobId, HeldJob>();
  /** What the queue itself ended, until the database has it. */
  const ends = new Map<JobId, JobEnd>();
  const handOver = createHandOver(deps, admission, pump);
  const adoption = createAdoption({ admission, held, hold, forget, end: endHere, endAgain }, limits.account);
  let closed = false;

  function hold(jobId: JobId, job: JobToHold): void {
    held.set(jobId, { ...job, sinceMs: clock.monotonicMs(), told: false, overdue: null });
  }

  function release(jobId: JobId): void {
    held.delete(jobId);
    admission.release(jobId);
  }

  function forget(jobId: JobId): void {
    held.delete(jobId);
    ends.delete(jobId);
    admission.forget(jobId);
  }

  /** Hands over whoever may go. Those that are being stored follow when they are. */
  function pump(): void {
    if (closed) return;
    for (let jobId = admission.next(node.poolStatus()); jobId; jobId = admission.next(node.poolStatus()))
      if (held.get(jobId)?.stored) handOver.stored(jobId);
  }

  function tick(): void {
    if (closed) return;
    const isHanded = (jobId: JobId) => admission.phaseOf(jobId) === "handed";
    watchQueue({ node, clock, isHanded, tell, giveUp }, held, limits);
    pump();
  }

  function tell(jobId: JobId, job: HeldJob): void {
    job.told = true;
    const reason = admission.waitReason(jobId);
    writer.handle({
      ...{ type: "note", jobId, name: "waiting", atMs: clock.now().getTime() },
      data: {
        message: `waits for a VM: ${waitText(reason)}`,
        limit: reason.exceeded && LIMIT_NAMES[reason.exceeded.limit],
      },
    });
  }

  /** Ends jobs that have no microVM. One that the node has queued ends when the node has given it back. */
  function giveUp(late: readonly LateJob[]): void {
    // Said before any of them makes room for another.
    const told = late.map(({ jobId, waitedMs }) => {
      return { jobId, message: overdueText(admission.waitReason(jobId), waitedMs) };
    });
    for (const { jobId, message } of told) if (admission.phaseOf(jobId) !== "handed") endHere(jobId, message);
    for (const { jobId, message } of told) {
      const job = held.get(jobId);
      if (!job) continue;
      job.overdue = message;
      node.stop(jobId).catch((error: unknown) => log.warn("queue.stop_failed", { jobId, error: messageOf(error) }));
    }
    for (const _ of late) deps.onOverdue();
  }

  function endHere(jobId: JobId, message: string): void {
    release(jobId);
    const end = failed(message);
    ends.set(jobId, end);
    writer.handle({ type: "ended", jobId, end });
  }

  function endAgain(jobId: JobId): void {
    const end = ends.get(jobId);
    const { outcome, event } = withdrawnOutcome(clock.now());
    const stored = end
      ? writer.storeEnd(jobId, end)
      : writer.change(jobId, () => store.markEnded(jobId, outcome, event));
    stored.catch((error: unknown) => log.error("queue.end_not_stored", { jobId, error: messageOf(error) }));
  }

  const failed = (message: string): JobEnd => ({ kind: "failed", message, endedAtMs: clock.now().getTime() });

  const timer = setInterval(tick, TICK_MS).unref();

  return {
    enter(job) {
      const { id, accountId, size, sandbox } = job;
      const exceeded = exceededLimit(limits.account, NO_USAGE, size);
      if (exceeded) throw new AppError("validation_failed", neverFitsText(exceeded));
      const entry = admission.enter({ id, accountId, size }, node.poolStatus());
      if (entry.kind === "refused") {
        deps.onRefused(entry.by);
        throw refusal(entry.by, entry.by === "account" ? limits.queuedPerAccount : limits.queued);
      }
      hold(id, { image: size.image, sandbox: sandbox && { id: sandbox.id, accountId, size }, stored: false });
    },

    stored(start) {
      const { jobId } = start;
      const job = held.get(jobId);
      if (job) job.stored = true;
      if (admission.phaseOf(jobId) === "admitted") handOver.now(start);
    },

    notStored(jobId) {
      release(jobId);
      pump();
    },

    reported(update) {
      if (update.type === "note") return update;
      const { jobId } = update;
      const { overdue = null, sandbox = null } = held.get(jobId) ?? {};
      held.delete(jobId);
      if (update.type === "started" && sandbox) admission.occupy(sandbox);
      if (update.type === "started" && !sandbox) admission.started(jobId);
      else admission.release(jobId);
      pump();
      // Given back by the node as asked, and not ended otherwise in that instant.
      const givenBack = update.type === "ended" && update.end.kind === "stopped" && update.end.durationMs === null;
      return overdue && givenBack ? { ...update, end: failed(overdue) } : update;
    },

    withdraw(jobId) {
      const phase = admission.phaseOf(jobId);
      if (phase !== "waiting" && phase !== "admitted") return;
      release(jobId);
      pump();
    },

    leave(jobId) {
      release(jobId);
      pump();
    },

    vacate(sandboxId) {
      admission.vacate(sandboxId);
      pump();
    },
    exceededBy: admission.exceededBy,
    resize(sandboxId, size) {
      const exceeded = admission.resize(sandboxId, size);
      pump();
      return exceeded;
    },

    known: adoption.known,

    adopt(found) {
      adoption.adopt(found);
      pump();
    },

    async endAll() {
      closed = true;
      handOver.close();
      const ids = [...held.keys()].filter((jobId) => admission.phaseOf(jobId) !== "handed");
      for (const jobId of ids) release(jobId);
      const ends = ids.map((jobId) => writer.storeEnd(jobId, neverStarted(clock.now())));
      await withDeadline(
        Promise.all(ends),
        END_ALL_MS,
        () => new Error("the ends of waiting jobs are not stored yet"),
      ).catch((error: unknown) => log.error("queue.end_all_failed", { jobs: ids.length, error: messageOf(error) }));
    },

    waitingIn: (image) =>
      [...held].flatMap(([jobId, job]) =>
        job.image === image && admission.phaseOf(jobId) !== "handed" ? [jobId] : [],
      ),

    get waiting() {
      return admission.waiting;
    },

    async [Symbol.asyncDispose]() {
      closed = true;
      clearInterval(timer);
      await handOver[Symbol.asyncDispose]();
    },
  };
}
