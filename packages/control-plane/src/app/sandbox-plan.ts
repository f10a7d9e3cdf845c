import type { MicroVmId, ObservedSandbox, SandboxId, WorkspaceVersion } from "@mags/domain";
import type { LiveSandbox } from "./sandbox-store.ts";

export type SandboxAction =
  /** It is in another state than was stored. */
  | {
      readonly kind: "mark_sandbox";
      readonly sandboxId: SandboxId;
      readonly state: "running" | "sleeping";
      readonly microVmId: MicroVmId | null;
      /** Why it sleeps without its memory. */
      readonly lost: string | null;
    }
  /** The node has neither its microVM nor its disk. */
  | { readonly kind: "sandbox_lost"; readonly sandboxId: SandboxId }
  /** It is gone, as it should be, or never was. */
  | { readonly kind: "end_sandbox"; readonly sandboxId: SandboxId }
  /** It should not be: its release was requested, or it has ended. */
  | { readonly kind: "release_sandbox"; readonly sandboxId: SandboxId; readonly reason: "requested" | "ended" }
  /** The database does not have it, as after its restore from a copy: it sleeps, and what is on its disk stays. */
  | { readonly kind: "shelve_sandbox"; readonly sandboxId: SandboxId }
  /** It was published in a newer version than was stored. */
  | {
      readonly kind: "adopt_sync";
      readonly sandboxId: SandboxId;
      readonly version: WorkspaceVersion;
      readonly syncedAtMs: number;
    }
  /** Its disk ceased to stand on a version. */
  | { readonly kind: "mark_hydrated"; readonly sandboxId: SandboxId }
  /** Its disk is larger than was stored. */
  | { readonly kind: "raise_disk"; readonly sandboxId: SandboxId; readonly diskGiB: number };

export interface SandboxPlanInput {
  /** Every sandbox that has not ended, read before `observed`: one made since cannot look lost. */
  readonly live: readonly LiveSandbox[];
  readonly observed: readonly ObservedSandbox[];
  /** Those of the observed that are not among `live` and that the database has, read after `observed`. */
  readonly others: ReadonlyMap<SandboxId, "live" | "ended">;
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

function planSync({ id: sandboxId, sync }: LiveSandbox, { sync: seen }: ObservedSandbox): SandboxAction[] {
  if (!sync || !seen?.version || seen.version.seq <= (sync.seq ?? 0)) return [];
  const { version, syncedAtMs } = seen;
  return [{ kind: "adopt_sync", sandboxId, version, syncedAtMs: syncedAtMs ?? version.createdAtMs }];
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
    actions.push(...planSync(sandbox, seen));
    if (seen.hydrated && !sandbox.hydrated) actions.push({ kind: "mark_hydrated", sandboxId });
    if (seen.state !== state || seen.microVmId !== sandbox.microVmId) {
      const lost = state === "running" && seen.state === "sleeping" ? seen.lost : null;
      const mark = { kind: "mark_sandbox", sandboxId, state: seen.state, microVmId: seen.microVmId, lost } as const;
      actions.push(...whenCertain(mark, `${seen.state} ${seen.microVmId}`));
    }
    return actions;
  }

  function planOther({ sandboxId, state }: ObservedSandbox): SandboxAction[] {
    const found = others.get(sandboxId);
    if (found === "live") return [];
    if (found === "ended") return [{ kind: "release_sandbox", sandboxId, reason: "ended" }];
    return state === "running" ? [{ kind: "shelve_sandbox", sandboxId }] : [];
  }

  const actions = [
    ...live.flatMap(planLive),
    ...observed.filter(({ sandboxId }) => !known.has(sandboxId)).flatMap(planOther),
  ];
  return { actions, doubts };
}
