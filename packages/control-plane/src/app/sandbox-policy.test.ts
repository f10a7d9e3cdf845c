import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { policyOf } from "./sandbox-policy.ts";

const defaults = { idleMinutes: 10, warmMs: 300_000 };
const owner = { noSleep: false, idleMinutes: 3, startupCommand: "serve" };

describe("policyOf", () => {
  it("releases a workspace that no persistent job keeps when its warm time is over", () => {
    assert.deepEqual(policyOf({ kept: false, egress: "filtered", owner: null }, defaults), {
      ...{ idle: { action: "release", afterMs: 300_000 }, startupCommand: null, alwaysOn: false, egress: "filtered" },
    });
  });

  it("lets a persistent job's sandbox sleep when it is idle, or never", () => {
    assert.deepEqual(policyOf({ kept: true, egress: "none", owner }, defaults), {
      ...{ idle: { action: "sleep", afterMs: 180_000 }, startupCommand: "serve", alwaysOn: false, egress: "none" },
    });
    const awake = policyOf({ kept: true, egress: "none", owner: { ...owner, noSleep: true } }, defaults);
    assert.deepEqual([awake.idle.action, awake.alwaysOn], ["none", true]);
  });

  it("keeps what was kept when its owner failed", () => {
    assert.deepEqual(policyOf({ kept: true, egress: "none", owner: null }, defaults).idle, {
      action: "sleep",
      afterMs: 600_000,
    });
  });
});
