import { isTerminal, type JobEnd, type JobId, type JobStatus, type MicroVmId, type ObservedJob } from "@mags/domain";
import type { LiveJob } from "./job-store.ts";

export type ReconcileAction =
  /** It runs, and its start was never stored. */
  | {
      readonly kind: "mark_started";
      readonly jobId: JobId;
      readonly microVmId: MicroVmId;
      readonly startedAtMs: number;
    }
  | { readonly kind: "mark_ended"; readonly jobId: JobId; readonly end: JobEnd }
  /** It was running and the node knows nothing of it. */
  | { readonly kind: "mark_lost"; readonly jobId: JobId }
  /** The node knows nothing of the script of an owner, whose sandbox lives on. */
  | { readonly kind: "mark_script_lost"; readonly jobId: JobId }
  /** It waits for a sandbox that exists, and the node does not have it. */
  | { readonly kind: "hand_over"; readonly jobId: JobId }
  /** Stopped before the node ever had it. */
  | { readonly kind: "mark_never_started"; readonly jobId: JobId }
  /** It should not run: a stop was requested, it has ended, or nobody owns it. */
  | { readonly kind: "stop"; readonly jobId: JobId; readonly reason: "requested" | "ended" | "unknown" }
  /** Its end is stored, or nobody wants to know: the node may forget it. */
  | { readonly kind: "acknowledge"; readonly jobId: JobId };

export interface ReconcileInput {
  /** Every job that has not ended, read before `observed`: a job the node took since cannot look lost. */
  readonly live: readonly LiveJob[];
  readonly observed: readonly ObservedJob[];
  /** States of observed jobs that are not among `live`, read after `observed`. */
  readonly others: ReadonlyMap<JobId, JobStatus>;
}

/**
 * Decides what makes database and node agree, in order of creation. Pending jobs that the node does not know are the
 * queue's. Touches nothing: same input, same plan.
 */
export function planReconcile({ live, observed, others }: ReconcileInput): readonly ReconcileAction[] {
  const byId = new Map(observed.map((job) => [job.jobId, job]));
  const known = new Set(live.map((job) => job.id));
  return [
    ...live.flatMap((job) => planLive(job, byId.get(job.id))),
    ...observed.filter((job) => !known.has(job.jobId)).flatMap((job) => planOther(job, others.get(job.jobId))),
  ];
}

function planLive(job: LiveJob, seen: ObservedJob | undefined): ReconcileAction[] {
  const jobId = job.id;
  if (!seen) return planUnseen(job);
  const actions: ReconcileAction[] = [];
  if (job.status === "pending" && seen.microVmId !== null && seen.startedAtMs !== null)
    actions.push({ kind: "mark_started", jobId, microVmId: seen.microVmId, startedAtMs: seen.startedAtMs });
  if (seen.end !== null) actions.push({ kind: "mark_ended", jobId, end: seen.end });
  // With its owner goes the sandbox, and with that the script.
  else if (job.stopRequested && !job.sandbox?.owns) actions.push({ kind: "stop", jobId, reason: "requested" });
  return actions;
}

function planUnseen(job: LiveJob): ReconcileAction[] {
  const { id: jobId, status, stopRequested, sandbox, scriptOver } = job;
  if (status === "pending") {
    if (stopRequested) return [{ kind: "mark_never_started", jobId }];
    if (!sandbox || sandbox.state === "starting") return [];
    return [{ kind: sandbox.state === "gone" ? "mark_lost" : "hand_over", jobId }];
  }
  if (!sandbox?.owns || sandbox.state === "gone") return [{ kind: "mark_lost", jobId }];
  return scriptOver ? [] : [{ kind: "mark_script_lost", jobId }];
}

function planOther(seen: ObservedJob, status: JobStatus | undefined): ReconcileAction[] {
  const { jobId } = seen;
  // Submitted since `live` was read.
  if (status !== undefined && !isTerminal(status)) return [];
  if (seen.end !== null) return [{ kind: "acknowledge", jobId }];
  return [{ kind: "stop", jobId, reason: status === undefined ? "unknown" : "ended" }];
}
