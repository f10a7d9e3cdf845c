import { type Logger, messageOf } from "@mags/core";
import type { Policies } from "./policies.ts";
import { type ReleaseDeps, releaseSandbox } from "./release-sandbox.ts";
import { planSandboxes, type SandboxAction } from "./sandbox-plan.ts";
import type { LiveSandbox } from "./sandbox-store.ts";

export interface SandboxReconcilerDeps extends ReleaseDeps {
  readonly policies: Policies;
  readonly log: Logger;
}

/** The part of the reconciler that makes the sandboxes of database and node agree. */
export interface SandboxReconciler {
  /** @returns how much there was to put right. `live` was read before this is called. */
  run(live: readonly LiveSandbox[]): Promise<number>;
}

const LOST = "the VM of this job and its disk were lost: the node has neither; submit the job again";

export function createSandboxReconciler(deps: SandboxReconcilerDeps): SandboxReconciler {
  const { sandboxes, reports, node, policies, clock, log } = deps;
  let doubts: ReadonlySet<string> | null = null;

  async function apply(action: SandboxAction): Promise<void> {
    const { sandboxId } = action;
    const at = clock.now();
    switch (action.kind) {
      case "mark_sandbox": {
        const { state, microVmId } = action;
        const name = state === "running" ? "woke" : "slept";
        const event = { at, name, data: { reason: "found", ...(microVmId !== null && { microVmId }) } };
        const transition = { name, reason: "found", at: at.toISOString() };
        return reports.mark(sandboxId, { state, microVmId, at, transition }, event);
      }
      case "sandbox_lost":
        return reports.end(sandboxId, { at, message: LOST }, { at, name: "sandbox_lost", data: { message: LOST } });
      case "end_sandbox": {
        const message = "its VM was never started";
        return reports.end(sandboxId, { at, message }, { at, name: "sandbox_not_made", data: { message } });
      }
      case "release_sandbox":
        // The node may take its time, and the next run looks again: nothing else waits for it.
        releaseSandbox(deps, sandboxId, { reason: action.reason === "requested" ? "stopped" : "nobody owns it" }).catch(
          (error: unknown) => log.warn("reconcile.action_failed", { ...action, error: messageOf(error) }),
        );
        return;
      case "raise_disk":
        return sandboxes.raiseDisk(sandboxId, action.diskGiB);
      default:
        action satisfies never;
    }
  }

  return {
    async run(live) {
      const observed = node.observeSandboxes();
      const known = new Set(live.map(({ id }) => id));
      const others = observed.map(({ sandboxId }) => sandboxId).filter((id) => !known.has(id));
      const plan = planSandboxes({
        ...{ live, observed, doubts },
        others: others.length === 0 ? new Set() : await sandboxes.liveAmong(others),
      });
      const isFirst = doubts === null;
      doubts = plan.doubts;
      for (const action of plan.actions) {
        log.info("reconcile.action", { ...action });
        await apply(action).catch((error: unknown) =>
          log.warn("reconcile.action_failed", { ...action, error: messageOf(error) }),
        );
      }
      // A policy may have been stored and not told before this process began.
      await policies.pushAgain(isFirst ? observed.map(({ sandboxId }) => sandboxId) : []);
      return plan.actions.length;
    },
  };
}
