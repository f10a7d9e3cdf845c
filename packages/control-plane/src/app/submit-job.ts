import { AppError, type Clock, isAppError, type Logger, messageOf } from "@mags/core";
import { type AccountId, type JobId, newJobId, newSandboxId, newSubdomain } from "@mags/domain";
import type { Disks } from "./disks.ts";
import { handToSandbox } from "./hand-to-sandbox.ts";
import { type NewJob, type NewJobEvent, startOf } from "./job.ts";
import { withdrawnOutcome } from "./job-end.ts";
import type { JobQueue } from "./job-queue.ts";
import type { JobTimings } from "./job-timings.ts";
import type { JobWriter } from "./job-writer.ts";
import { type JobRequest, planJob } from "./new-job.ts";
import type { Policies } from "./policies.ts";
import type { Sandbox } from "./sandbox.ts";
import type { SandboxDefaults } from "./sandbox-policy.ts";
import { type StopDeps, stopScript } from "./stop-job.ts";
import { inUseText, planWorkspaceUse, type WorkspaceUse } from "./workspace-use.ts";

export interface SubmitDeps extends StopDeps {
  readonly policies: Policies;
  readonly disks: Disks;
  readonly writer: JobWriter;
  readonly queue: JobQueue;
  readonly timings: JobTimings;
  readonly clock: Clock;
  readonly log: Logger;
  readonly defaults: SandboxDefaults;
}

/**
 * Takes a job: it is on disk when this resolves, and the node has been told or the job waits in the queue.
 * @param receivedMs Monotonic time at which the request came in.
 * @throws AppError `validation_failed`; `workspace_in_use`; `too_many_requests` or `capacity_exhausted` when too many
 * wait; `unavailable` when the database did not confirm it. What was refused does not run.
 */
export async function submitJob(
  deps: SubmitDeps,
  request: JobRequest,
  options: { readonly accountId: AccountId; readonly receivedMs: number },
): Promise<JobId> {
  const { node, timings, clock, defaults } = deps;
  const context = { id: newJobId(), accountId: options.accountId, now: clock.now(), node: node.describe() };
  const { job, events } = planJob(request, { ...context, idleMinutes: defaults.idleMinutes });
  const submitted = () => timings.submitted(job.id, options.receivedMs);
  if (request.workspaceId !== null) await submitToWorkspace(deps, { job, request, events, submitted });
  else if (request.persistent) await submitWithSandbox(deps, job, events, submitted);
  else await enqueue(deps, job, () => deps.store.insert(job, events), submitted);
  return job.id;
}

/** Into the queue, onto the disk, and to the node in its turn. @returns what `insert` gives. */
async function enqueue<T>(
  deps: SubmitDeps,
  job: NewJob,
  insert: () => Promise<T>,
  submitted: () => void,
  isStored: (result: T) => boolean = () => true,
): Promise<T> {
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
  if (!isStored(result)) {
    queue.notStored(job.id);
    return result;
  }
  submitted();
  queue.stored(startOf(job, deps.defaults));
  return result;
}

/** A job whose start makes a sandbox. */
async function submitWithSandbox(
  deps: SubmitDeps,
  planned: NewJob,
  events: readonly NewJobEvent[],
  submitted: () => void,
): Promise<"stored" | "taken"> {
  const sandbox = { id: newSandboxId(), subdomain: newSubdomain() };
  const job: NewJob = { ...planned, sandbox: { id: sandbox.id, makes: true, owns: planned.persistent } };
  const insert = () => deps.sandboxes.insertFirst(job, sandbox, events);
  return enqueue(deps, job, insert, submitted, (result) => result === "stored");
}

interface WorkspaceJob {
  readonly job: NewJob;
  readonly request: JobRequest;
  readonly events: readonly NewJobEvent[];
  readonly submitted: () => void;
}

/** How long scripts have that are to make room. */
const REPLACE_MS = 15_000;
/** Others may use the workspace at the same time: each try sees it anew. */
const MOST_TRIES = 10;

async function submitToWorkspace(deps: SubmitDeps, { job, request, events, submitted }: WorkspaceJob): Promise<void> {
  const { sandboxes } = deps;
  const workspaceId = job.workspaceId ?? "";
  const decide = (sandbox: Sandbox, jobs: Parameters<typeof planWorkspaceUse>[2]): WorkspaceUse =>
    planWorkspaceUse({ request, endless: job.endless }, sandbox, jobs);
  for (let attempt = 1; attempt <= MOST_TRIES; attempt++) {
    const sandbox = await sandboxes.ofWorkspace(job.accountId, workspaceId);
    if (!sandbox) {
      if ((await submitWithSandbox(deps, job, events, submitted)) === "stored") return;
      continue;
    }
    if (await isLeftOver(deps, sandbox)) continue;
    deps.disks.check(sandbox, request.diskGiB ?? 0);
    const result = await sandboxes.join(job, events, decide).catch((error: unknown) => {
      if (isAppError(error, "unavailable")) withdraw(deps, job);
      throw error;
    });
    if (result.kind === "gone") continue;
    if (result.kind === "joined") {
      submitted();
      // It is stored: what fails from here on the reconciler does again.
      await handToSandbox(deps, job.id).catch((error: unknown) =>
        deps.log.warn("job.hand_over_failed", { jobId: job.id, error: messageOf(error) }),
      );
      return;
    }
    if (!request.replace || result.use.kind !== "busy" || !(await endScripts(deps, result.use.scripts, job.id)))
      throw new AppError("workspace_in_use", inUseText(workspaceId, result.use));
  }
  throw new AppError("workspace_in_use", `workspace ${workspaceId} already exists and is in use by others: try again`);
}

/** Nothing is in it, and the node has released it or never made it: its end is only not stored yet. */
async function isLeftOver({ sandboxes, reports, node, clock }: SubmitDeps, sandbox: Sandbox): Promise<boolean> {
  if (node.observeSandboxes().some(({ sandboxId }) => sandboxId === sandbox.id)) return false;
  await reports.settled(sandbox.id);
  if ((await sandboxes.liveJobs(sandbox.id)).length > 0) return false;
  const at = clock.now();
  await reports.end(sandbox.id, { at, message: "" }, { at, name: "released", data: { reason: "it was gone" } });
  return true;
}

/** @returns false when they did not end in time. */
async function endScripts(deps: SubmitDeps, scripts: readonly { readonly id: JobId }[], by: JobId): Promise<boolean> {
  const { store, clock } = deps;
  const ended = await Promise.all(
    scripts.map(async ({ id }) => {
      const job = await store.get(id);
      if (!job) return true;
      await store.addEvent(id, { at: clock.now(), name: "replaced", data: { by } }, by);
      return (await stopScript(deps, job, { patienceMs: REPLACE_MS })) === "ended";
    }),
  );
  return ended.every(Boolean);
}

/** The insert may have taken effect although its answer was lost; what was refused must not run. */
function withdraw({ store, writer, clock, log }: SubmitDeps, job: NewJob): void {
  const { outcome, event } = withdrawnOutcome(clock.now());
  writer
    .change(job.id, () => store.markEnded(job.id, outcome, event))
    .catch((error: unknown) => log.warn("job.withdraw_failed", { jobId: job.id, error: messageOf(error) }));
}
