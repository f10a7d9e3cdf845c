import { type Logger, messageOf } from "@mags/core";
import type { Admission, JobId, JobStart, NodeRuntime } from "@mags/domain";
import { jobStart } from "./job.ts";
import type { JobChanges } from "./job-changes.ts";
import type { JobStore } from "./job-store.ts";
import { persistently } from "./persistently.ts";
import type { SandboxDefaults } from "./sandbox-policy.ts";

export interface HandOverDeps {
  readonly store: JobStore;
  readonly node: NodeRuntime;
  readonly changes: JobChanges;
  readonly log: Logger;
  readonly defaults: SandboxDefaults;
}

/** Gives admitted jobs to the node, in the order in which it is told of them. */
export interface HandOver extends AsyncDisposable {
  /** At once, unless others are under way: then after them. */
  now(start: JobStart): void;
  /** With its script from the database. It waits for one that is away, and those that are told of later with it. */
  stored(jobId: JobId): void;
  /** Gives over nothing more. */
  close(): void;
}

/** @param onDone  Called after each job, whether the node has it now or it was no longer to have it. */
export function createHandOver(deps: HandOverDeps, admission: Admission, onDone: () => void): HandOver {
  const { store, node, changes, log } = deps;
  const closing = new AbortController();
  let chain: Promise<void> = Promise.resolve();
  let underWay = 0;

  function give(start: JobStart): void {
    const { jobId } = start;
    // It may have been stopped meanwhile.
    if (closing.signal.aborted || admission.phaseOf(jobId) !== "admitted") return;
    admission.handed(jobId);
    node.start(start);
    changes.notify(jobId, "reported");
    onDone();
  }

  async function load(jobId: JobId): Promise<void> {
    const start = await persistently(() => store.loadStart(jobId), { signal: closing.signal });
    if (start) return give(jobStart(start, deps.defaults));
    admission.release(jobId); // ended, as another process or a report of the node had it
    onDone();
  }

  function inTurn(jobId: JobId, work: () => Promise<void>): void {
    underWay++;
    chain = chain
      .then(work)
      .catch((error: unknown) => {
        if (closing.signal.aborted) return;
        log.error("queue.hand_over_failed", { jobId, error: messageOf(error) });
        admission.requeue(jobId);
      })
      .finally(() => {
        underWay--;
      });
  }

  return {
    now(start) {
      if (underWay === 0) give(start);
      else inTurn(start.jobId, async () => give(start));
    },
    stored: (jobId) => inTurn(jobId, () => load(jobId)),
    close: () => closing.abort(),
    async [Symbol.asyncDispose]() {
      closing.abort();
      await chain;
    },
  };
}
