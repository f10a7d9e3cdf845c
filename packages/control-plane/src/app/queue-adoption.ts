/**
 * Puts the books of the queue right by what database and node say: after a restart, which begins with empty books, and
 * each time the two are compared.
 */
import {
  type AccountLimits,
  type Admission,
  exceededLimit,
  type JobId,
  NO_USAGE,
  type ObservedJob,
} from "@mags/domain";
import type { LiveJob } from "./job-store.ts";
import { neverFitsText } from "./queue-text.ts";
import type { HeldJob } from "./queue-watch.ts";

/** What there is. `known` was asked before `live` was read, and `observed` after it. */
export interface FoundJobs {
  readonly live: readonly LiveJob[];
  readonly observed: readonly ObservedJob[];
  readonly known: ReadonlySet<JobId>;
}

export interface AdoptionDeps {
  readonly admission: Admission;
  readonly held: ReadonlyMap<JobId, HeldJob>;
  readonly hold: (jobId: JobId, job: { readonly image: string; readonly stored: boolean }) => void;
  readonly forget: (jobId: JobId) => void;
  /** Ends a job that the node does not have. */
  readonly end: (jobId: JobId, message: string) => void;
  /** Its end was not stored. */
  readonly endAgain: (jobId: JobId) => void;
}

export interface Adoption {
  /** Jobs whose absence from what `store.live()` gives from now on means that they ended. */
  known(): ReadonlySet<JobId>;
  adopt(found: FoundJobs): void;
}

export function createAdoption(deps: AdoptionDeps, limits: AccountLimits): Adoption {
  const { admission, held, hold } = deps;
  /** Jobs that were over in the books and pending in the database at the last look. */
  let overButPending: ReadonlySet<JobId> = new Set();

  /** A live job that is not in the books, or that the node has lost before it began. */
  function adoptJob(job: LiveJob, seen: ObservedJob | undefined): void {
    if (seen?.end) return; // it is over, and its report on the way
    const { image } = job;
    const phase = admission.phaseOf(job.id);
    if (seen) {
      if (phase !== undefined) return;
      const started = seen.startedAtMs !== null;
      admission.adopt(job, started ? "started" : "handed");
      if (!started) hold(job.id, { image, stored: true });
      return;
    }
    if (!isPending(job)) return;
    if (phase === "handed" || phase === "started") {
      admission.requeue(job.id);
      hold(job.id, { image, stored: true });
    }
    if (phase !== undefined) return;
    admission.adopt(job, "waiting");
    hold(job.id, { image, stored: true });
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

  return {
    known: () => new Set(admission.ids().filter((jobId) => held.get(jobId)?.stored ?? true)),

    adopt({ live, observed, known }) {
      const seen = new Map(observed.map((job) => [job.jobId, job]));
      const alive = new Set(live.map((job) => job.id));
      for (const jobId of known) if (!alive.has(jobId)) deps.forget(jobId);
      endLeftOver(live, seen);
      for (const job of live) adoptJob(job, seen.get(job.id));
    },
  };
}
