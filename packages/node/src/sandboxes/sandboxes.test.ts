import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { silentLogger, systemClock } from "@mags/core";
import type { NodeUpdate } from "@mags/domain";
import type { SandboxDeps } from "./sandbox-deps.ts";
import type { SandboxRecord } from "./sandbox-record.ts";
import { createSandboxes } from "./sandboxes.ts";

describe("sandboxes", () => {
  it("say of a synced one whose VM was lost that it may have more than what is synced", async () => {
    const policy = {
      idle: { action: "none" },
      syncTo: { accountId: "a", workspaceId: "w", name: "w", forkedFrom: null },
    };
    const written: SandboxRecord[] = [];
    const record = {
      ...{ id: "lost", policy, scripts: [], base: null, published: null, asleep: null },
      microVmId: "vm",
    };
    const nothing = () => {};
    const deps = {
      ...{ clock: systemClock, log: silentLogger, report: nothing, hydration: {} },
      store: { load: async () => [record], write: async (one: SandboxRecord) => void written.push(one) },
      ...{ guests: { add: nothing, ended: nothing }, blocks: { keepsServed: async () => false } },
    } as unknown as SandboxDeps;
    await using sandboxes = createSandboxes(deps);
    await sandboxes.resume([], async () => {});
    const sync = sandboxes.all()[0]?.observe().sync;
    assert.equal(sync?.behindBytes, 0);
    assert.match(
      sync.failure ?? "",
      /VM was lost: .*what changed since the last sync is synced when the VM is used next/,
    );
    assert.equal(written[0]?.asleep?.behind?.reason, sync.failure);
  });

  it("tell of damage that is met by one that is not there yet, or could not be made", async () => {
    const told: NodeUpdate[] = [];
    const report = (update: NodeUpdate) => void told.push(update);
    const deps = { clock: systemClock, log: silentLogger, report } as unknown as SandboxDeps;
    await using sandboxes = createSandboxes(deps);
    sandboxes.tellDamage({
      ...{ number: 1, id: "begins", offset: 4096, length: 65_536, reason: "record 0 of pack p", sound: [2] },
      version: { account: "a", workspace: "w", version: { seq: 3, sha256: "0" } },
    });
    const [update] = told;
    assert.ok(update?.type === "sandbox");
    assert.deepEqual([update.sandboxId, update.name], ["begins", "workspace_damaged"]);
    assert.deepEqual(update.data, {
      ...{ workspaceId: "w", workspace: "w", version: 3, offset: 4096, length: 65_536 },
      ...{ reason: "record 0 of pack p", soundVersions: [2] },
    });
  });
});
