/**
 * Brings a job into the sandbox of its workspace, or makes one. Others may use the workspace at the same time: each try
 * looks anew, and what is stored is stored only if it is still so.
 */
import { AppError, isAppError, messageOf, untilAborted } from "@mags/core";
import { type JobId, newWorkspaceId, type SandboxId } from "@mags/domain";
import { findBase } from "./find-base.ts";
import { handOrLeave } from "./hand-to-sandbox.ts";
import type { NewJob, NewJobEvent } from "./job.ts";
import { tooSmall } from "./least-disk.ts";
import { isUntoldPromotion, tellPromotion } from "./promotion.ts";
import { releaseSandbox } from "./release-sandbox.ts";
import type { Sandbox } from "./sandbox.ts";
import { stopScript } from "./stop-job.ts";
import { type Submission, type SubmitDeps, submitWithSandbox, withdraw } from "./submit-job.ts";
import { takeOverVersion } from "./take-over-version.ts";
import type { Workspace } from "./workspace.ts";
import { checkBase, planOpening, wantsSync } from "./workspace-mode.ts";
import { inUseText, planWorkspaceUse } from "./workspace-use.ts";

/** How long scripts have that are to make room. */
const REPLACE_MS = 15_000;
/** For the last changes of a sandbox that is being released. */
const RELEASE_MS = 10_000;
const MOST_TRIES = 10;

type Step = "done" | "again" | { readonly note: NewJobEvent };

export async function submitToWorkspace(deps: SubmitDeps, submission: Submission, name: string): Promise<void> {
  const notes: NewJobEvent[] = [];
  for (let attempt = 1; attempt <= MOST_TRIES; attempt++) {
    const workspace = await deps.workspaces.find(submission.accountId, name);
    checkBase(submission.request, workspace);
    if (workspace?.restoring)
      throw inUse(`workspace ${name} already exists and is in use: it is being restored: try again`);
    const sandbox = await deps.sandboxes.ofWorkspace(submission.accountId, name);
    let step: Step = "again";
    if (sandbox) step = await join(deps, submission, { sandbox, workspace, notes });
    else if (workspace?.releasing) await untilReleased(deps, name, workspace.releasing);
    else if (workspace && (await deps.newestVersions.takeOver(workspace))) continue;
    else step = await begin(deps, submission, { workspace, notes });
    if (step === "done") return;
    if (step !== "again") notes.push(step.note);
  }
  throw inUse(`workspace ${name} already exists and is in use by others: try again`);
}

async function begin(
  deps: SubmitDeps,
  submission: Submission,
  { workspace, notes }: { readonly workspace: Workspace | null; readonly notes: readonly NewJobEvent[] },
): Promise<Step> {
  const { request, accountId } = submission;
  const base = request.base && !workspace?.latest ? await findBase(deps, accountId, request.base) : null;
  const opening = planOpening(request, { workspace, base }, { accountId, newId: newWorkspaceId() });
  const found = workspace && { id: workspace.id, seq: workspace.latest?.seq ?? null };
  const result = await submitWithSandbox(deps, submission, { opening, found, notes });
  return result === "stored" ? "done" : "again";
}

async function join(
  deps: SubmitDeps,
  submission: Submission,
  context: {
    readonly sandbox: Sandbox;
    readonly workspace: Workspace | null;
    readonly notes: readonly NewJobEvent[];
  },
): Promise<Step> {
  const { sandboxes, disks } = deps;
  const { sandbox, workspace, notes } = context;
  const { request, planned, submitted } = submission;
  const { job, events } = planned;
  if (await isLeftOver(deps, sandbox)) return "again";
  disks.check(sandbox, request.diskGiB ?? 0);
  const newId = newWorkspaceId();
  const told = [...events, ...notes, ...copyNote(sandbox, workspace, job.createdAt)];
  const result = await sandboxes
    .join(job, told, (found) => planWorkspaceUse({ request, endless: job.endless, newId }, found))
    .catch((error: unknown) => {
      if (isAppError(error, "unavailable")) withdraw(deps, job);
      throw error;
    });
  if (result.kind === "gone") return "again";
  if (result.kind === "joined") {
    if (wantsSync(request)) await promote(deps, sandbox.id, job);
    submitted();
    // It is stored: what fails from here on the reconciler does again.
    await handOrLeave(deps, job.id);
    return "done";
  }
  const { use } = result;
  if (use.kind === "too_small") throw tooSmall(sandbox.workspaceId ?? "", use);
  if (use.kind === "drop") return dropCopy(deps, sandbox, job.createdAt);
  if (request.replace && use.kind === "busy" && (await endScripts(deps, use.scripts, job.id))) return "again";
  throw inUse(inUseText(sandbox.workspaceId ?? "", use, job));
}

/**
 * What one promotes is synced when its submission is answered, so that nobody takes for kept what is not.
 * @throws AppError `unavailable` when the node does not take it down. The workspace is synced as soon as it does, without
 * the job.
 */
async function promote(deps: SubmitDeps, sandboxId: SandboxId, job: NewJob): Promise<void> {
  const { sandboxes, policies, node } = deps;
  if (!isUntoldPromotion(node, await sandboxes.get(sandboxId))) return;
  await tellPromotion(policies, sandboxId).catch((cause: unknown) => {
    const text = `workspace ${job.workspaceId} is not synced yet: ${messageOf(cause)}`;
    withdraw(deps, job, text);
    throw new AppError("unavailable", `${text}: try again`, { cause });
  });
}

/** It runs in a copy of what is synced. */
function copyNote(sandbox: Sandbox, workspace: Workspace | null, at: Date): NewJobEvent[] {
  if (sandbox.syncsTo || !workspace?.latest) return [];
  return [{ at, name: "local_copy", data: { workspace: workspace.name, version: sandbox.from?.version.seq ?? null } }];
}

/** What is only warm makes room for what is synced. */
async function dropCopy(deps: SubmitDeps, sandbox: Sandbox, at: Date): Promise<Step> {
  const { sandboxes, clock, log } = deps;
  if (!(await sandboxes.requestRelease(sandbox.id, clock.now()))) return "again";
  releaseSandbox(deps, sandbox.id, { reason: "stopped" }).catch((error: unknown) =>
    log.warn("sandbox.release_failed", { sandboxId: sandbox.id, error: messageOf(error) }),
  );
  return { note: { at, name: "local_copy_dropped", data: { workspace: sandbox.workspaceId } } };
}

/** Only one writes a workspace, and the next begins with what it wrote last. */
async function untilReleased(deps: SubmitDeps, name: string, releasing: SandboxId): Promise<void> {
  const patience = AbortSignal.timeout(RELEASE_MS);
  try {
    await untilAborted(releaseSandbox(deps, releasing, { reason: "stopped" }), patience);
  } catch (cause) {
    const unsynced = isAppError(cause, "changes_not_synced");
    if (!unsynced && !patience.aborted) throw cause;
    const why = unsynced ? `: ${cause.message}` : "";
    throw new AppError(
      "workspace_in_use",
      `workspace ${name} already exists and is in use: its VM is being stopped, and its last changes are not synced yet${why}: try again, or drop them: mags stop --force ${name}`,
      { cause },
    );
  }
}

/** Nothing is in it, and the node has released it or never made it: its end is only not stored yet. */
async function isLeftOver(deps: SubmitDeps, sandbox: Sandbox): Promise<boolean> {
  const { sandboxes, reports, node, clock } = deps;
  if (node.observeSandboxes().some(({ sandboxId }) => sandboxId === sandbox.id)) return false;
  await reports.settled(sandbox.id);
  if ((await sandboxes.liveJobs(sandbox.id)).length > 0) return false;
  await takeOverVersion(deps, sandbox.id);
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
      return (await stopScript(deps, job, { patienceMs: REPLACE_MS })).kind === "ended";
    }),
  );
  return ended.every(Boolean);
}

function inUse(message: string): AppError {
  return new AppError("workspace_in_use", message);
}
