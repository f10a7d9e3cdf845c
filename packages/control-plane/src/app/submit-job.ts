import { type Clock, isAppError, type Logger, messageOf } from "@mags/core";
import { type AccountId, type JobId, newJobId, newSandboxId, newSubdomain, newWorkspaceId } from "@mags/domain";
import type { Disks } from "./disks.ts";
import { findBase } from "./find-base.ts";
import { type NewJob, type NewJobEvent, startOf } from "./job.ts";
import { withdrawnOutcome } from "./job-end.ts";
import type { JobQueue } from "./job-queue.ts";
import type { JobTimings } from "./job-timings.ts";
import type { JobWriter } from "./job-writer.ts";
import { type JobRequest, planJob } from "./new-job.ts";
import type { NewestVersions } from "./newest-versions.ts";
import type { NewSandbox } from "./sandbox.ts";
import type { SandboxDefaults } from "./sandbox-policy.ts";
import type { StopDeps } from "./stop-job.ts";
import { submitToWorkspace } from "./submit-to-workspace.ts";
import { needsNoSandbox, type Opening, openedRequest, planOpening } from "./workspace-mode.ts";

export interface SubmitDeps extends StopDeps {
  readonly newestVersions: NewestVersions;
  readonly disks: Disks;
  readonly writer: JobWriter;
  readonly queue: JobQueue;
  readonly timings: JobTimings;
  readonly clock: Clock;
  readonly log: Logger;
  readonly defaults: SandboxDefaults;
}

export interface PlannedJob {
  readonly job: NewJob;
  readonly events: readonly NewJobEvent[];
}

/** A job on its way in. */
export interface Submission {
  readonly request: JobRequest;
  readonly accountId: AccountId;
  /** As `request` asks. */
  readonly planned: PlannedJob;
  /** The same job, with more or less asked for. @throws AppError `validation_failed`. */
  readonly plan: (request: JobRequest) => PlannedJob;
  /** It is stored. */
  readonly submitted: () => void;
}

/**
 * Takes a job: it is on disk when this resolves, and the node has been told or the job waits in the queue.
 * @param receivedMs Monotonic time at which the request came in.
 * @throws AppError `validation_failed`; `workspace_in_use`; `too_many_requests` or `capacity_exhausted` when too many
 * wait; `unavailable` when the database did not confirm it, the object store is away and must be asked, or the node cannot
 * have the workspace synced. What was refused does not run.
 */
export async function submitJob(
  deps: SubmitDeps,
  request: JobRequest,
  options: { readonly accountId: AccountId; readonly receivedMs: number },
): Promise<JobId> {
  const { node, timings, clock, defaults } = deps;
  const { accountId, receivedMs } = options;
  const { idleMinutes } = defaults;
  const context = { id: newJobId(), accountId, now: clock.now(), node: node.describe(), idleMinutes };
  const plan = (asked: JobRequest) => planJob(asked, context);
  const submitted = () => timings.submitted(context.id, receivedMs);
  const submission = { request, accountId, planned: plan(request), plan, submitted };
  if (needsNoSandbox(request)) await submitPlain(deps, submission);
  else if (request.workspaceId === null) await submitUnnamed(deps, submission);
  else await submitToWorkspace(deps, submission, request.workspaceId);
  return context.id;
}

async function submitPlain(deps: SubmitDeps, { planned, submitted }: Submission): Promise<void> {
  const { job, events } = planned;
  await enqueue(deps, { job, sandbox: null, insert: () => deps.store.insert(job, events), submitted });
}

/** Its sandbox is its own: nobody else can name it. */
async function submitUnnamed(deps: SubmitDeps, submission: Submission): Promise<void> {
  const { request, accountId } = submission;
  for (;;) {
    const base = request.base && (await findBase(deps, accountId, request.base));
    const opening = planOpening(request, { workspace: null, base }, { accountId, newId: newWorkspaceId() });
    // Else its base was deleted meanwhile, which the next look finds.
    if ((await submitWithSandbox(deps, submission, { opening, found: null })) === "stored") return;
  }
}

/** A job whose start makes a sandbox. @param notes  Events beyond those of the plan. */
export async function submitWithSandbox(
  deps: SubmitDeps,
  { request, plan, submitted }: Submission,
  {
    opening,
    found,
    notes = [],
  }: {
    readonly opening: Opening;
    readonly found: NewSandbox["found"];
    readonly notes?: readonly NewJobEvent[];
  },
): Promise<"stored" | "taken" | "changed"> {
  const { from, syncTo } = opening;
  const { job: planned, events } = plan(openedRequest(request, from));
  const sandbox = { id: newSandboxId(), subdomain: newSubdomain(), from, syncTo, found };
  const job: NewJob = { ...planned, sandbox: { id: sandbox.id, makes: true, owns: planned.persistent } };
  const told = [...events, ...notes, ...openingEvents(opening, planned.createdAt)];
  const insert = () => deps.sandboxes.insertFirst(job, sandbox, told);
  return enqueue(deps, { job, sandbox, insert, submitted, isStored: (result) => result === "stored" });
}

function openingEvents({ from, isLocalCopy }: Opening, at: Date): NewJobEvent[] {
  if (!from) return [];
  const data = { workspace: from.name, version: from.version.seq };
  return [{ at, name: "opened", data }, ...(isLocalCopy ? [{ at, name: "local_copy", data }] : [])];
}

interface Entry<T> {
  readonly job: NewJob;
  /** That its start makes. */
  readonly sandbox: NewSandbox | null;
  readonly insert: () => Promise<T>;
  readonly submitted: () => void;
  /** Default: it always is. */
  readonly isStored?: (result: T) => boolean;
}

/** Into the queue, onto the disk, and to the node in its turn. @returns what `insert` gives. */
async function enqueue<T>(deps: SubmitDeps, { job, sandbox, insert, submitted, isStored }: Entry<T>): Promise<T> {
  const { queue } = deps;
  queue.enter(job);
  let result: T;
  try {
    result = await insert();
  } catch (error) {
    queue.notStored(job.id);
    if (isAppError(error, "unavailable")) withdraw(deps, job);
    throw error;
  }
  if (isStored && !isStored(result)) {
    queue.notStored(job.id);
    return result;
  }
  submitted();
  queue.stored(startOf(job, sandbox, deps.defaults));
  return result;
}

/**
 * What was refused must not run: the insert may have taken effect although its answer was lost.
 * @param why  What the job ends with. Default: the database did not confirm it.
 */
export function withdraw({ store, writer, clock, log }: SubmitDeps, job: NewJob, why?: string): void {
  const { outcome, event } = withdrawnOutcome(clock.now(), why);
  writer
    .change(job.id, () => store.markEnded(job.id, outcome, event))
    .catch((error: unknown) => log.warn("job.withdraw_failed", { jobId: job.id, error: messageOf(error) }));
}
