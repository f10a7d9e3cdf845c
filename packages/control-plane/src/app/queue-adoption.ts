/**
 * Puts the books of the queue right by what database and node say: after a restart, which begins with empty books, and
 * each time the two are compared.
 */
import {
  type AccountLimits,
  type Admission,
  type BookedSandbox,
  exceededLimit,
  type JobId,
  NO_USAGE,
  type ObservedJob,
  type SandboxId,
} from "@mags/domain";
import type { LiveJob } from "./job-store.ts";
import { neverFitsText } from "./queue-text.ts";
import type { HeldJob } from "./queue-watch.ts";
import type { LiveSandbox } from "./sandbox-store.ts";

/** Jobs and sandboxes whose absence from what is read from now on means that they are no more. */
export interface Known {
  readonly jobs: ReadonlySet<JobId>;
  readonly sandboxes: ReadonlySet<SandboxId>;
}

/** What there is. `known` was asked before `live` and `sandboxes` were read, and `observed` after them. */
export interface FoundJobs {
  readonly live: readonly LiveJob[];
  readonly sandboxes: readonly LiveSandbox[];
  readonly observed: readonly ObservedJob[];
  readonly known: Known;
}

/** What the queue has to know of a job that it holds. */
export type JobToHold = Pick<HeldJob, "image" | "sandbox" | "stored">;

export interface AdoptionDeps {
  readonly admission: Admission;
  readonly held: ReadonlyMap<JobId, HeldJob>;
  readonly hold: (jobId: JobId, job: JobToHold) => void;
  readonly forget: (jobId: JobId) => void;
  /** Ends a job that the node does not have. */
  readonly end: (jobId: JobId, message: string) => void;
  /** Its end was not stored. */
  readonly endAgain: (jobId: JobId) => void;
}

export interface Adoption {
  known(): Known;
  adopt(found: FoundJobs): void;
}

export function createAdoption(deps: AdoptionDeps, limits: AccountLimits): Adoption {
  const { admission, held, hold } = deps;
  /** Jobs that were over in the books and pending in the database at the last look. */
  let overButPending: ReadonlySet<JobId> = new Set();

  /** A live job that is not in the books, or that the node has lost before it began. */
  function adoptJob(job: LiveJob, seen: ObservedJob | undefined): void {
    if (seen?.end) return; // it is over, and its report on the way
    const phase = admission.phaseOf(job.id);
    if (job.sandbox && !(job.sandbox.makes && job.sandbox.state === "starting")) {
      // It runs in what is there, or in what it made: that is counted, not the job.
      if (phase !== undefined) admission.release(job.id);
      return;
    }
    const sandbox = job.sandbox && { id: job.sandbox.id, accountId: job.accountId, size: job.size };
    const found: JobToHold = { image: job.image, sandbox, stored: true };
    if (seen) {
      if (phase !== undefined) return;
      const started = seen.startedAtMs !== null;
      if (started && sandbox) admission.occupy(sandbox);
      else admission.adopt(job, started ? "started" : "handed");
      if (!started) hold(job.id, found);
      return;
    }
    if (!isPending(job)) return;
    if (phase === "handed" || phase === "started") {
      admission.requeue(job.id);
      hold(job.id, found);
    }
    if (phase !== undefined) return;
    admission.adopt(job, "waiting");
    hold(job.id, found);
    const exceeded = exceededLimit(limits, NO_USAGE, job.size);
    if (exceeded) deps.end(job.id, neverFitsText(exceeded));
  }

  const isPending = ({ status, stopRequested }: LiveJob) => status === "pending" && !stopRequested;

  /** At the first look its end may just be on the way into the database. */
  function endLeftOver(found: readonly LiveJob[], seen: ReadonlyMap<JobId, ObservedJob>): void {
    const isLeftOver = (job: LiveJob) => isPending(job) && !seen.has(job.id) && admission.phaseOf(job.id) === "over";
    const ids = found.filter(isLeftOver).map(({ id }) => id);
    for (const jobId of ids) if (overButPending.has(jobId)) deps.endAgain(jobId);
    overButPending = new Set(ids);
  }

  function adoptSandboxes(found: readonly LiveSandbox[], known: Known): void {
    const alive = new Set(found.map(({ id }) => id));
    for (const id of known.sandboxes) if (!alive.has(id)) admission.vacate(id);
    for (const sandbox of found) if (sandbox.state !== "starting") admission.occupy(booked(sandbox));
  }

  return {
    known: () => ({
      jobs: new Set(admission.ids().filter((jobId) => held.get(jobId)?.stored ?? true)),
      sandboxes: new Set(admission.sandboxes()),
    }),

    adopt({ live, sandboxes, observed, known }) {
      const seen = new Map(observed.map((job) => [job.jobId, job]));
      const alive = new Set(live.map((job) => job.id));
      for (const jobId of known.jobs) if (!alive.has(jobId)) deps.forget(jobId);
      adoptSandboxes(sandboxes, known);
      endLeftOver(live, seen);
      for (const job of live) adoptJob(job, seen.get(job.id));
    },
  };
}

const booked = ({ id, accountId, size }: LiveSandbox): BookedSandbox => ({ id, accountId, size });
