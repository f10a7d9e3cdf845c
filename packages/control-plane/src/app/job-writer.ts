/**
 * Brings what happens to jobs into the database. Changes of one job are made one after another, in the order in which
 * they were handed in, and wait for a database that is away; jobs do not wait for each other. The node reports most
 * things once only, so nothing is given up while this process lives.
 */
import { randomUUID } from "node:crypto";
import { type Logger, messageOf } from "@mags/core";
import {
  isTerminal,
  type JobEnd,
  type JobId,
  type JobUpdate,
  type MicroVmId,
  type NodeRuntime,
  type SandboxId,
} from "@mags/domain";
import type { JobChanges } from "./job-changes.ts";
import { neverRan, outcomeOf, scriptEndOf } from "./job-end.ts";
import type { JobStore } from "./job-store.ts";
import type { JobTimings } from "./job-timings.ts";
import { createTurns } from "./turns.ts";

/** What becomes of sandboxes when things happen to the jobs in them. */
export interface SandboxFollower {
  /** The job that makes it has started. */
  begun(sandboxId: SandboxId, microVmId: MicroVmId, at: Date): Promise<void>;
  /** A job in it ended in error, or without having run: what it was to make is not made, what it owned has no owner. */
  failed(sandboxId: SandboxId, message: string, at: Date): Promise<void>;
}

export interface JobWriterDeps {
  readonly store: JobStore;
  readonly node: NodeRuntime;
  readonly changes: JobChanges;
  readonly timings: JobTimings;
  readonly log: Logger;
  readonly sandboxes: SandboxFollower;
}

export interface StartOfJob {
  readonly microVmId: MicroVmId;
  readonly startedAt: Date;
  /** What the event tells. */
  readonly data: Readonly<Record<string, unknown>>;
}

export interface JobWriter {
  /** Takes a report of the node. Never throws, never blocks. */
  handle(update: JobUpdate): void;
  /** Runs `work` in the job's turn, again while the database is away; then tells those who wait for the job. */
  change<T>(jobId: JobId, work: () => Promise<T>): Promise<T>;
  /** Stores a start that the node has told of, in the job's turn. */
  storeStart(jobId: JobId, start: StartOfJob): Promise<void>;
  /** Stores an end that the node has told of, in the job's turn. */
  storeEnd(jobId: JobId, end: JobEnd): Promise<void>;
  /** Waits for the changes that are under way, at most `deadlineMs`, then gives up the rest. */
  close(options: { readonly deadlineMs: number }): Promise<void>;
}

export function createJobWriter(deps: JobWriterDeps): JobWriter {
  const { store, node, changes, timings, log, sandboxes } = deps;
  const turns = createTurns<JobId>();

  function change<T>(jobId: JobId, work: () => Promise<T>): Promise<T> {
    const turn = turns.run(jobId, work);
    const notify = () => changes.notify(jobId, "stored");
    turn.then(notify, notify);
    return turn;
  }

  async function storeStart(jobId: JobId, { microVmId, startedAt, data }: StartOfJob): Promise<void> {
    const event = { at: startedAt, name: "started", data };
    const changed = await store.markStarted(jobId, { microVmId, startedAt }, event);
    if (changed?.sandboxId) return sandboxes.begun(changed.sandboxId, microVmId, startedAt);
    if (changed) return;
    // It may have been stopped in the instant in which it was handed to the node, or this is tried again.
    const job = await store.get(jobId);
    if (job?.sandbox?.state === "starting") return sandboxes.begun(job.sandbox.id, microVmId, startedAt);
    if (!job || !isTerminal(job.status)) return;
    node.stop(jobId).catch((error: unknown) => log.warn("job.stop_failed", { jobId, error: messageOf(error) }));
  }

  async function storeEnd(jobId: JobId, end: JobEnd): Promise<void> {
    const { outcome, event } = outcomeOf(end);
    const owners = neverRan(end) ? "unstarted" : "stopping";
    const ended = await store.markEnded(jobId, outcome, event, { owners });
    if (ended) timings.ended(jobId, outcome.status);
    if (ended?.sandboxId && (neverRan(end) || outcome.status === "error")) {
      const message = outcome.errorMessage ?? "the job that was to start its VM was stopped";
      await sandboxes.failed(ended.sandboxId, message, outcome.completedAt);
    }
    if (ended) return;
    const scriptEnd = scriptEndOf(end);
    await store.markScriptEnded(jobId, scriptEnd.end, scriptEnd.event);
  }

  async function persist(update: JobUpdate, reportId: string): Promise<void> {
    const { jobId } = update;
    switch (update.type) {
      case "started": {
        const { microVmId, origin, stagesMs } = update;
        return storeStart(jobId, {
          ...{ microVmId, startedAt: new Date(update.startedAtMs), data: { microVmId, origin, stagesMs } },
        });
      }
      case "note":
        return store.addEvent(jobId, { at: new Date(update.atMs), name: update.name, data: update.data }, reportId);
      case "ended":
        await storeEnd(jobId, update.end);
        // A lost acknowledgement is repeated by the reconciler.
        node.acknowledge(jobId).catch((error: unknown) => {
          log.warn("job.acknowledge_failed", { jobId, error: messageOf(error) });
        });
        return;
      default:
        update satisfies never;
    }
  }

  return {
    handle(update) {
      const { jobId } = update;
      if (update.type === "started") timings.started(jobId);
      changes.notify(jobId, "reported");
      const reportId = randomUUID();
      change(jobId, () => persist(update, reportId)).catch((error: unknown) => {
        if (!turns.closed) log.error("job.report_not_stored", { jobId, type: update.type, error: messageOf(error) });
      });
    },

    change,

    storeStart: (jobId, start) => change(jobId, () => storeStart(jobId, start)),
    storeEnd: (jobId, end) => change(jobId, () => storeEnd(jobId, end)),

    async close(options) {
      await turns.close(options).catch((error: unknown) => {
        log.warn("job.reports_given_up", { jobs: turns.size, error: messageOf(error) });
      });
    },
  };
}
