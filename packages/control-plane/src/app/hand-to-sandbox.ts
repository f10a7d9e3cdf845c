/** Gives jobs to the node that run in sandboxes which exist: they take no new microVM, so they wait for none. */
import { AppError, type Clock, type Logger, messageOf, withDeadline } from "@mags/core";
import type { JobId, NodeRuntime, SandboxId } from "@mags/domain";
import type { Disks } from "./disks.ts";
import { jobStart, type StoredStart } from "./job.ts";
import type { JobStore } from "./job-store.ts";
import type { Policies } from "./policies.ts";
import { isUntoldPromotion, tellPromotion } from "./promotion.ts";
import type { Sandbox } from "./sandbox.ts";
import type { SandboxDefaults } from "./sandbox-policy.ts";
import type { SandboxStore } from "./sandbox-store.ts";

export interface HandToSandboxDeps {
  readonly store: JobStore;
  readonly sandboxes: SandboxStore;
  readonly node: NodeRuntime;
  readonly disks: Disks;
  readonly policies: Policies;
  readonly clock: Clock;
  readonly defaults: SandboxDefaults;
  readonly log: Logger;
}

/** A disk that is being published grows after that, however long that takes. */
const GROW_MS = 10_000;

/**
 * One that is still being made is waited for: `handWaiting` follows when its first job has started. May be repeated.
 * @throws AppError `unavailable` when the node does not take down that the sandbox is synced: no script runs in it until
 * it does.
 */
export async function handToSandbox(deps: HandToSandboxDeps, jobId: JobId): Promise<void> {
  const { store, sandboxes, node, defaults } = deps;
  const stored = await store.loadStart(jobId);
  if (!stored?.sandbox) return; // ended meanwhile
  const sandbox = await sandboxes.get(stored.sandbox.id);
  if (!sandbox || sandbox.state === "starting") return;
  if (isUntoldPromotion(node, sandbox)) await tellPromotion(deps.policies, sandbox.id);
  // It may have a new owner, or another network access; `pushAgain` repeats what fails here.
  else await pushPolicy(deps, sandbox.id);
  if (stored.size.diskGiB > sandbox.size.diskGiB) await grow(deps, stored, sandbox);
  node.start(jobStart(stored, defaults));
}

async function pushPolicy({ policies, log }: HandToSandboxDeps, sandboxId: SandboxId): Promise<void> {
  await policies
    .push(sandboxId)
    .catch((error: unknown) => log.warn("sandbox.policy_not_set", { sandboxId, error: messageOf(error) }));
}

/** The sandbox has begun: those that came while it was being made run now. */
export async function handWaiting(deps: HandToSandboxDeps, sandboxId: SandboxId): Promise<void> {
  // One of those may have had it synced, and be over.
  const sandbox = await deps.sandboxes.get(sandboxId);
  if (sandbox?.syncsTo) await pushPolicy(deps, sandboxId);
  const jobs = await deps.sandboxes.liveJobs(sandboxId);
  for (const { id, status } of jobs) if (status === "pending") await handOrLeave(deps, id);
}

/** Also to the reconciler, which looks for jobs that wait. */
export async function handOrLeave(deps: HandToSandboxDeps, jobId: JobId): Promise<void> {
  await handToSandbox(deps, jobId).catch((error: unknown) =>
    deps.log.warn("job.hand_over_failed", { jobId, error: messageOf(error) }),
  );
}

const growsLater = () => new AppError("unavailable", "its disk cannot grow now, and does so as soon as it can");

/** A script that finds no room says so itself: it is not kept from running. */
async function grow(
  { store, disks, clock }: HandToSandboxDeps,
  { id, size: { diskGiB } }: StoredStart,
  sandbox: Sandbox,
): Promise<void> {
  try {
    await withDeadline(disks.grow(sandbox, diskGiB), GROW_MS, growsLater);
  } catch (error) {
    const data = { reason: messageOf(error), diskGiB: sandbox.size.diskGiB };
    await store.addEvent(id, { at: clock.now(), name: "resize_failed", data }, id);
  }
}
