/**
 * Brings what happens to jobs into the database. Changes of one job are made one after another, in the order in which
 * they were handed in, and wait for a database that is away; jobs do not wait for each other. The node reports most
 * things once only, so nothing is given up while this process lives.
 */
import { randomUUID } from "node:crypto";
import { type Logger, messageOf, withDeadline } from "@mags/core";
import { isTerminal, type JobId, type JobUpdate, type NodeRuntime } from "@mags/domain";
import type { JobChanges } from "./job-changes.ts";
import { outcomeOf } from "./job-end.ts";
import type { JobStore } from "./job-store.ts";
import type { JobTimings } from "./job-timings.ts";
import { persistently } from "./persistently.ts";

export interface JobWriterDeps {
  readonly store: JobStore;
  readonly node: NodeRuntime;
  readonly changes: JobChanges;
  readonly timings: JobTimings;
  readonly log: Logger;
}

export interface JobWriter {
  /** Takes a report of the node. Never throws, never blocks. */
  handle(update: JobUpdate): void;
  /** Runs `work` in the job's turn, again while the database is away; then tells those who wait for the job. */
  change<T>(jobId: JobId, work: () => Promise<T>): Promise<T>;
  /** Waits for the changes that are under way, at most `deadlineMs`, then gives up the rest. */
  close(options: { readonly deadlineMs: number }): Promise<void>;
}

export function createJobWriter(deps: JobWriterDeps): JobWriter {
  const { store, node, changes, timings, log } = deps;
  const closing = new AbortController();
  const turns = new Map<JobId, Promise<unknown>>();

  function change<T>(jobId: JobId, work: () => Promise<T>): Promise<T> {
    const turn = (turns.get(jobId) ?? Promise.resolve()).then(() => persistently(work, { signal: closing.signal }));
    const settled = turn
      .catch(() => {})
      .then(() => {
        if (turns.get(jobId) === settled) turns.delete(jobId);
        changes.notify(jobId, "stored");
      });
    turns.set(jobId, settled);
    return turn;
  }

  /** A job may have been stopped in the instant in which it was handed to the node. */
  async function stopIfEnded(jobId: JobId): Promise<void> {
    const job = await store.get(jobId);
    if (!job || !isTerminal(job.status)) return;
    node.stop(jobId).catch((error: unknown) => log.warn("job.stop_failed", { jobId, error: messageOf(error) }));
  }

  async function persist(update: JobUpdate, reportId: string): Promise<void> {
    const { jobId } = update;
    switch (update.type) {
      case "started": {
        const { microVmId, origin, stagesMs } = update;
        const startedAt = new Date(update.startedAtMs);
        const event = { at: startedAt, name: "started", data: { microVmId, origin, stagesMs } };
        if (!(await store.markStarted(jobId, { microVmId, startedAt }, event))) await stopIfEnded(jobId);
        return;
      }
      case "note":
        await store.addEvent(jobId, { at: new Date(update.atMs), name: update.name, data: update.data }, reportId);
        return;
      case "ended": {
        const { outcome, event } = outcomeOf(update.end);
        await store.markEnded(jobId, outcome, event);
        // A lost acknowledgement is repeated by the reconciler.
        node.acknowledge(jobId).catch((error: unknown) => {
          log.warn("job.acknowledge_failed", { jobId, error: messageOf(error) });
        });
        return;
      }
      default:
        update satisfies never;
    }
  }

  return {
    handle(update) {
      const { jobId } = update;
      if (update.type === "started") timings.started(jobId);
      if (update.type === "ended") timings.ended(jobId, outcomeOf(update.end).outcome.status);
      changes.notify(jobId, "reported");
      const reportId = randomUUID();
      change(jobId, () => persist(update, reportId)).catch((error: unknown) => {
        if (!closing.signal.aborted)
          log.error("job.report_not_stored", { jobId, type: update.type, error: messageOf(error) });
      });
    },

    change,

    async close({ deadlineMs }) {
      const all = Promise.all([...turns.values()]).then(() => {});
      await withDeadline(all, deadlineMs, () => new Error("reports of the node are still not stored")).catch(
        (error: unknown) => log.warn("job.reports_given_up", { jobs: turns.size, error: messageOf(error) }),
      );
      closing.abort();
    },
  };
}
