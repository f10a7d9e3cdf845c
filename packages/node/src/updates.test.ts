import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { NodeUpdate, SandboxId } from "@mags/domain";
import { createUpdates } from "./updates.ts";

const named = (name: string): NodeUpdate => ({
  ...{ type: "sandbox", sandboxId: "s" as SandboxId, state: "running", microVmId: null, atMs: 0, name, data: {} },
});

describe("updates of a node", () => {
  it("keep the damage that was met before anybody listened for who comes first", () => {
    const updates = createUpdates();
    updates.report(named("vm_lost"));
    for (let n = 0; n < 300; n++) updates.report(named("workspace_damaged"));
    const [first, second]: [NodeUpdate[], NodeUpdate[]] = [[], []];
    updates.listen((update) => void first.push(update));
    assert.deepEqual(first, Array(200).fill(named("workspace_damaged")));
    updates.listen((update) => void second.push(update));
    updates.report(named("woke"));
    assert.deepEqual(second, [named("woke")]);
    assert.deepEqual(first.slice(200), [named("woke")]);
  });
});
