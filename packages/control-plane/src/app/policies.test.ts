import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { silentLogger } from "@mags/core";
import type { NodeRuntime, ObservedSandbox, SandboxId } from "@mags/domain";
import { createSimulatedNode } from "@mags/test-kit";
import { createPolicies } from "./policies.ts";
import type { PolicyFacts } from "./sandbox-policy.ts";
import type { SandboxStore } from "./sandbox-store.ts";

const FACTS: PolicyFacts = { kept: true, named: true, egress: "filtered", owner: null, syncTo: null };
const [SLOW, QUICK] = ["slow", "quick"] as unknown as [SandboxId, SandboxId];

describe("createPolicies", () => {
  it("tells the others while a node takes its time with one, and does not ask for that again meanwhile", async (t) => {
    t.mock.timers.enable({ apis: ["setTimeout"] });
    const asked: SandboxId[] = [];
    const answer = Promise.withResolvers<void>();
    const node: NodeRuntime = {
      ...createSimulatedNode(),
      observeSandboxes: () => [SLOW, QUICK].map((sandboxId) => ({ sandboxId }) as ObservedSandbox),
      async setSandboxPolicy(id) {
        asked.push(id);
        if (id === SLOW) await answer.promise;
      },
    };
    const sandboxes = { policyFacts: async () => FACTS } as Partial<SandboxStore> as SandboxStore;
    const defaults = { idleMinutes: 1, warmMs: 1 };
    const policies = createPolicies({ sandboxes, node, defaults, log: silentLogger });
    const round = policies.pushAgain([SLOW, QUICK]);
    while (asked.length < 2) await Promise.resolve();
    t.mock.timers.tick(5_000);
    await round;
    await policies.pushAgain([SLOW, QUICK]);
    assert.deepEqual(asked, [SLOW, QUICK, QUICK]);
    answer.resolve();
    await policies.push(SLOW);
    await policies.pushAgain([]);
    assert.deepEqual(asked, [SLOW, QUICK, QUICK, SLOW]);
  });
});
