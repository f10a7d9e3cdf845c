import { type Logger, messageOf, withDeadline } from "@mags/core";
import type { NodeRuntime, SandboxId } from "@mags/domain";
import { policyOf, type SandboxDefaults } from "./sandbox-policy.ts";
import type { SandboxStore } from "./sandbox-store.ts";

/** Tells the node how sandboxes are to be treated. */
export interface Policies {
  /** As the database has it now. Rejects when the node does not take it; `pushAgain` tries it again. */
  push(sandboxId: SandboxId): Promise<void>;
  /**
   * What failed before, and `also`; all at a time. One that takes longer than others should wait goes on beside, and is not
   * begun again until it has ended.
   */
  pushAgain(also: readonly SandboxId[]): Promise<void>;
}

export interface PoliciesDeps {
  readonly sandboxes: SandboxStore;
  readonly node: NodeRuntime;
  readonly defaults: SandboxDefaults;
  readonly log: Logger;
}

const PATIENCE_MS = 5_000;

export function createPolicies({ sandboxes, node, defaults, log }: PoliciesDeps): Policies {
  const failed = new Set<SandboxId>();
  const turns = new Map<SandboxId, Promise<void>>();

  /** One after another, so that what was read last is what the node has in the end. */
  function push(sandboxId: SandboxId): Promise<void> {
    failed.add(sandboxId);
    const pushed = (turns.get(sandboxId) ?? Promise.resolve()).then(() => pushNow(sandboxId));
    const turn = pushed
      .catch(() => {})
      .then(() => {
        if (turns.get(sandboxId) === turn) turns.delete(sandboxId);
      });
    turns.set(sandboxId, turn);
    return pushed;
  }

  async function pushNow(sandboxId: SandboxId): Promise<void> {
    failed.add(sandboxId);
    const facts = await sandboxes.policyFacts(sandboxId);
    const isThere = node.observeSandboxes().some((seen) => seen.sandboxId === sandboxId);
    if (facts && isThere) await node.setSandboxPolicy(sandboxId, policyOf(facts, defaults));
    failed.delete(sandboxId);
  }

  return {
    push,
    async pushAgain(also) {
      const idle = [...new Set([...failed, ...also])].filter((sandboxId) => !turns.has(sandboxId));
      const late = () => new Error(`the node has not answered for ${PATIENCE_MS / 1000} s`);
      await Promise.all(
        idle.map((sandboxId) =>
          withDeadline(push(sandboxId), PATIENCE_MS, late).catch((error: unknown) =>
            log.warn("sandbox.policy_not_set", { sandboxId, error: messageOf(error) }),
          ),
        ),
      );
    },
  };
}
