import { AppError, isAppError, messageOf, sleep, withDeadline } from "@mags/core";
import type { SandboxId } from "@mags/domain";
import { type ReleaseDeps, releaseSandbox } from "./release-sandbox.ts";

export interface EndOnNodeDeps extends ReleaseDeps {
  /** Ends the calls of clients: called when they keep sandboxes from sleeping. */
  readonly endCalls: () => void;
}

/** For calls under way to end by themselves. */
const PATIENCE_MS = 2_000;
/** For sandboxes to become free of calls, all in all. */
const BUSY_MS = 10_000;
const RETRY_MS = 200;
/** For what is released to be synced, and its end to be stored. */
const RELEASE_MS = 60_000;
/** For the database, which may be away, to store what became of one; the next server sees it again. */
const STORE_MS = 5_000;

/**
 * Leaves no microVM: puts sandboxes to sleep, with what runs in them, releases those that are only kept warm or end with
 * their scripts, and ends all other jobs.
 */
export async function endOnNode(deps: EndOnNodeDeps): Promise<void> {
  const { sandboxes, reports, node, log } = deps;
  const observed = node.observeSandboxes().map(({ sandboxId }) => sandboxId);
  const inside = await Promise.all(observed.map((id) => sandboxes.liveJobs(id)));
  const staying = new Set(inside.flat().map(({ id }) => id));
  const ending = node.observe().filter(({ jobId }) => !staying.has(jobId));
  await Promise.all([
    ...ending.map(({ jobId }) => node.stop(jobId)),
    ...observed.map(async (sandboxId) => {
      await end(deps, sandboxId).catch((error: unknown) =>
        log.error("sandbox.goes_on", {
          sandboxId,
          error: messageOf(error),
          cure: "magsd start, then magsd stop --all",
        }),
      );
      const late = () => new AppError("unavailable", "the database does not answer now");
      await withDeadline(reports.settled(sandboxId), STORE_MS, late).catch((error: unknown) =>
        log.warn("sandbox.end_not_stored", { sandboxId, error: messageOf(error) }),
      );
    }),
  ]);
}

async function end(deps: EndOnNodeDeps, sandboxId: SandboxId): Promise<void> {
  const isOver = await mayGo(deps, sandboxId).catch(() => false); // a sleep loses nothing
  if (!isOver) return await sleepWhenFree(deps, sandboxId);
  const late = () => new AppError("unavailable", `it is not released within ${RELEASE_MS / 1000} s`);
  await withDeadline(releaseSandbox(deps, sandboxId, { reason: "stopped" }), RELEASE_MS, late);
}

/** Nobody owns it, and nothing runs in it that could go on later; from now on nothing comes into it. */
async function mayGo({ sandboxes, clock }: EndOnNodeDeps, sandboxId: SandboxId): Promise<boolean> {
  const facts = await sandboxes.policyFacts(sandboxId);
  if (!facts || facts.kept || facts.owner) return false;
  // Without a name nobody could wake it.
  return !facts.named || sandboxes.requestRelease(sandboxId, clock.now());
}

async function sleepWhenFree({ node, clock, endCalls }: EndOnNodeDeps, sandboxId: SandboxId): Promise<void> {
  const begunMs = clock.monotonicMs();
  for (;;) {
    try {
      return await node.sleepSandbox(sandboxId, { reason: "requested" });
    } catch (error) {
      const waitedMs = clock.monotonicMs() - begunMs;
      if (!isAppError(error, "sandbox_busy") || waitedMs > BUSY_MS) throw error;
      if (waitedMs > PATIENCE_MS) endCalls();
    }
    await sleep(RETRY_MS);
  }
}
