import type { Clock } from "@mags/core";
import type { BookedSandbox, JobId, NodeRuntime } from "@mags/domain";

/** A job without a microVM. */
export interface HeldJob {
  readonly image: string;
  /** What its start makes. */
  readonly sandbox: BookedSandbox | null;
  readonly sinceMs: number;
  /** Else it is just being stored. */
  stored: boolean;
  /** Its history says what it waits for. */
  told: boolean;
  /** Set when the node was asked to give it back: why. */
  overdue: string | null;
}

export interface QueueWatchDeps {
  readonly node: NodeRuntime;
  readonly clock: Clock;
  readonly isHanded: (jobId: JobId) => boolean;
  readonly tell: (jobId: JobId, job: HeldJob) => void;
  readonly giveUp: (late: readonly LateJob[]) => void;
}

export interface LateJob {
  readonly jobId: JobId;
  readonly waitedMs: number;
}

/** A shorter wait is not worth telling of. */
const TELL_AFTER_MS = 1_000;

/** One look at all jobs without a microVM: whose history does not say yet what they wait for, and who waited too long. */
export function watchQueue(
  deps: QueueWatchDeps,
  held: ReadonlyMap<JobId, HeldJob>,
  options: { readonly queueMs: number },
): void {
  if (held.size === 0) return;
  const { node, clock } = deps;
  const nowMs = clock.monotonicMs();
  const nodeIsFull = node.poolStatus().awaitingMemory > 0;
  const queuedByNode = new Set(
    node.observe().flatMap((seen) => (seen.state === "queued" && seen.microVmId === null ? [seen.jobId] : [])),
  );
  const late: LateJob[] = [];
  for (const [jobId, job] of held) {
    const waitedMs = nowMs - job.sinceMs;
    const handed = deps.isHanded(jobId);
    if (job.overdue !== null || !(handed ? queuedByNode.has(jobId) : job.stored)) continue;
    if (waitedMs >= options.queueMs) late.push({ jobId, waitedMs });
    // A node with memory left has taken the job up: it makes a template for it, say.
    else if (!job.told && waitedMs >= TELL_AFTER_MS && (!handed || nodeIsFull)) deps.tell(jobId, job);
  }
  if (late.length > 0) deps.giveUp(late);
}
