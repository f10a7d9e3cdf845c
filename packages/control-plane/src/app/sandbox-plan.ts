import type { MicroVmId, ObservedSandbox, SandboxId } from "@mags/domain";
import type { LiveSandbox } from "./sandbox-store.ts";

export type SandboxAction =
  /** It is in another state than was stored. */
  | {
      readonly kind: "mark_sandbox";
      readonly sandboxId: SandboxId;
      readonly state: "running" | "sleeping";
      readonly microVmId: MicroVmId | null;
    }
  /** The node has neither its microVM nor its disk. */
  | { readonly kind: "sandbox_lost"; readonly sandboxId: SandboxId }
  /** It is gone, as it should be, or never was. */
  | { readonly kind: "end_sandbox"; readonly sandboxId: SandboxId }
  /** It should not be: its release was requested, it has ended, or nobody owns it. */
  | { readonly kind: "release_sandbox"; readonly sandboxId: SandboxId; readonly reason: "requested" | "unknown" }
  /** Its disk is larger than was stored. */
  | { readonly kind: "raise_disk"; readonly sandboxId: SandboxId; readonly diskGiB: number };

export interface SandboxPlanInput {
  /** Every sandbox that has not ended, read before `observed`: one made since cannot look lost. */
  readonly live: readonly LiveSandbox[];
  readonly observed: readonly ObservedSandbox[];
  /** Observed ones that are not among `live` and have not ended, read after `observed`. */
  readonly others: ReadonlySet<SandboxId>;
  /**
   * Differences of the look before. What the node reports may just be on the way into the database, so a difference
   * counts when two looks find it; null: nothing can be on the way.
   */
  readonly doubts: ReadonlySet<string> | null;
}

export interface SandboxPlan {
  readonly actions: readonly SandboxAction[];
  readonly doubts: ReadonlySet<string>;
}

/** Decides what makes database and node agree about sandboxes. Touches nothing: same input, same plan. */
export function planSandboxes({ live, observed, others, doubts: before }: SandboxPlanInput): SandboxPlan {
  const seenById = new Map(observed.map((seen) => [seen.sandboxId, seen]));
  const known = new Set(live.map(({ id }) => id));
  const doubts = new Set<string>();

  function whenCertain(action: SandboxAction, difference: string): SandboxAction[] {
    const doubt = `${action.sandboxId} ${difference}`;
    doubts.add(doubt);
    return before === null || before.has(doubt) ? [action] : [];
  }

  function planLive(sandbox: LiveSandbox): SandboxAction[] {
    const { id: sandboxId, state, releaseRequested, makerLives } = sandbox;
    const seen = seenById.get(sandboxId);
    if (releaseRequested && (seen || state !== "starting"))
      return [{ kind: "release_sandbox", sandboxId, reason: "requested" }];
    if (!seen && state === "starting") return makerLives ? [] : [{ kind: "end_sandbox", sandboxId }];
    if (!seen) return whenCertain({ kind: "sandbox_lost", sandboxId }, "missing");
    // Its start, or the end of its first job, is about to be stored.
    if (state === "starting" && makerLives) return [];
    const actions: SandboxAction[] = [];
    if (seen.diskGiB > sandbox.size.diskGiB) actions.push({ kind: "raise_disk", sandboxId, diskGiB: seen.diskGiB });
    if (seen.state !== state || seen.microVmId !== sandbox.microVmId) {
      const mark = { kind: "mark_sandbox", sandboxId, state: seen.state, microVmId: seen.microVmId } as const;
      actions.push(...whenCertain(mark, `${seen.state} ${seen.microVmId}`));
    }
    return actions;
  }

  const actions = [
    ...live.flatMap(planLive),
    ...observed
      .filter(({ sandboxId }) => !known.has(sandboxId) && !others.has(sandboxId))
      .map(({ sandboxId }) => ({ kind: "release_sandbox", sandboxId, reason: "unknown" }) as const),
  ];
  return { actions, doubts };
}
