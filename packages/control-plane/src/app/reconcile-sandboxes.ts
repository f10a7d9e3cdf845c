import { type Logger, messageOf } from "@mags/core";
import type { ObservedSandbox, SandboxId } from "@mags/domain";
import { type ReleaseDeps, releaseSandbox } from "./release-sandbox.ts";
import { planSandboxes, type SandboxAction } from "./sandbox-plan.ts";
import { transitionOf } from "./sandbox-reports.ts";
import type { LiveSandbox } from "./sandbox-store.ts";
import { takeOverVersion } from "./take-over-version.ts";

export interface SandboxReconcilerDeps extends ReleaseDeps {
  readonly log: Logger;
}

/** The part of the reconciler that makes the sandboxes of database and node agree. */
export interface SandboxReconciler {
  /** @returns how much there was to put right. `live` was read before this is called. */
  run(live: readonly LiveSandbox[]): Promise<number>;
}

/** Longer than any wake takes on a host that is busy with its start. */
const WAKE_MS = 600_000;
const LOST = "the VM of this job and its disk were lost: the node has neither; submit the job again";

export function createSandboxReconciler(deps: SandboxReconcilerDeps): SandboxReconciler {
  const { sandboxes, workspaces, reports, node, policies, clock, log } = deps;
  let doubts: ReadonlySet<string> | null = null;

  async function apply(action: SandboxAction): Promise<void> {
    const { sandboxId } = action;
    const at = clock.now();
    switch (action.kind) {
      case "mark_sandbox": {
        const { state, microVmId, lost } = action;
        const name = lost === null ? { running: "woke", sleeping: "slept" }[state] : "vm_lost";
        const event = { at, name, data: { reason: lost ?? "found", ...(microVmId !== null && { microVmId }) } };
        return reports.mark(sandboxId, { state, microVmId, at, transition: transitionOf(event) }, event);
      }
      case "sandbox_lost":
        await takeOverVersion(deps, sandboxId);
        return reports.end(sandboxId, { at, message: LOST }, { at, name: "sandbox_lost", data: { message: LOST } });
      case "end_sandbox": {
        const message = "its VM was never started";
        return reports.end(sandboxId, { at, message }, { at, name: "sandbox_not_made", data: { message } });
      }
      case "release_sandbox":
        // The node may take its time, and the next run looks again: nothing else waits for it.
        return inBackground(
          action,
          releaseSandbox(deps, sandboxId, { reason: action.reason === "requested" ? "stopped" : "nobody owns it" }),
        );
      case "shelve_sandbox":
        return inBackground(action, node.sleepSandbox(sandboxId, { reason: "requested" }));
      case "adopt_sync":
        return workspaces.recordSync(sandboxId, action.version, new Date(action.syncedAtMs));
      case "mark_hydrated":
        return sandboxes.markHydrated(sandboxId, at);
      case "raise_disk":
        return sandboxes.raiseDisk(sandboxId, action.diskGiB);
      default:
        action satisfies never;
    }
  }

  function inBackground(action: SandboxAction, work: Promise<void>): void {
    work.catch((error: unknown) => log.warn("reconcile.action_failed", { ...action, error: messageOf(error) }));
  }

  /** What was never to sleep sleeps only because everything was stopped, or because its wake was cut off. */
  async function wakeSleepless(sandboxId: SandboxId): Promise<void> {
    const facts = await sandboxes.policyFacts(sandboxId);
    if (!facts?.owner?.noSleep) return;
    log.info("sandbox.wakes_after_start", { sandboxId });
    await node.wakeSandbox(sandboxId, { reason: "no_sleep", signal: AbortSignal.timeout(WAKE_MS) });
  }

  function wakeAllSleepless(live: readonly LiveSandbox[], observed: readonly ObservedSandbox[]): void {
    const asleep = new Set(observed.filter(({ state }) => state === "sleeping").map(({ sandboxId }) => sandboxId));
    for (const { id, releaseRequested } of live)
      if (asleep.has(id) && !releaseRequested)
        wakeSleepless(id).catch((error: unknown) =>
          log.warn("sandbox.not_woken_after_start", { sandboxId: id, error: messageOf(error) }),
        );
  }

  return {
    async run(live) {
      const observed = node.observeSandboxes();
      const known = new Set(live.map(({ id }) => id));
      const others = observed.map(({ sandboxId }) => sandboxId).filter((id) => !known.has(id));
      const plan = planSandboxes({
        ...{ live, observed, doubts },
        others: others.length === 0 ? new Map() : await sandboxes.knownAmong(others),
      });
      const isFirst = doubts === null;
      doubts = plan.doubts;
      // A policy may have been stored and not told before this process began. That one is synced the node has to know
      // before it is idle.
      await policies.pushAgain(isFirst ? observed.map(({ sandboxId }) => sandboxId) : []);
      for (const action of plan.actions) {
        log.info("reconcile.action", { ...action });
        await apply(action).catch((error: unknown) =>
          log.warn("reconcile.action_failed", { ...action, error: messageOf(error) }),
        );
      }
      if (isFirst) wakeAllSleepless(live, observed);
      return plan.actions.length;
    },
  };
}
