import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { policyOf } from "./sandbox-policy.ts";

const defaults = { idleMinutes: 10, warmMs: 300_000 };
const owner = { noSleep: false, idleMinutes: 3, startupCommand: "serve" };

const KEPT = { kept: true, named: true, egress: "none", syncTo: null } as const;

describe("policyOf", () => {
  it("releases a workspace that no persistent job keeps when its warm time is over", () => {
    assert.deepEqual(policyOf({ kept: false, named: true, egress: "filtered", owner: null, syncTo: null }, defaults), {
      ...{ idle: { action: "release", afterMs: 300_000 }, startupCommand: null, alwaysOn: false, egress: "filtered" },
      syncTo: null,
    });
  });

  it("releases what nobody can name when its script is over", () => {
    const facts = { kept: false, named: false, egress: "filtered", owner: null, syncTo: null } as const;
    assert.deepEqual(policyOf(facts, defaults).idle, { action: "release", afterMs: 0 });
  });

  it("lets a persistent job's sandbox sleep when it is idle, or never", () => {
    assert.deepEqual(policyOf({ ...KEPT, owner }, defaults), {
      ...{ idle: { action: "sleep", afterMs: 180_000 }, startupCommand: "serve", alwaysOn: false, egress: "none" },
      syncTo: null,
    });
    const awake = policyOf({ ...KEPT, owner: { ...owner, noSleep: true } }, defaults);
    assert.deepEqual([awake.idle.action, awake.alwaysOn], ["none", true]);
  });

  it("keeps what was kept when its owner failed", () => {
    assert.deepEqual(policyOf({ ...KEPT, owner: null }, defaults).idle, {
      action: "sleep",
      afterMs: 600_000,
    });
  });
});
