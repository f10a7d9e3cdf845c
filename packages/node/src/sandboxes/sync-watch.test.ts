import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { AppError, type Clock, silentLogger, systemClock } from "@mags/core";
import type { SandboxRecord } from "./sandbox-record.ts";
import { createSyncWatch } from "./sync-watch.ts";

const policy = { syncTo: { accountId: "a", workspaceId: "w", name: "w", forkedFrom: null } };
const record = { id: "s", policy, published: null, asleep: null } as unknown as SandboxRecord;

describe("the syncs of a sandbox", () => {
  it("are tried again within a minute, however long the object store is away, and told of once", async () => {
    let bootMs = 0;
    const clock: Clock = { ...systemClock, bootMs: () => bootMs };
    const told: string[] = [];
    let under: Promise<unknown> = Promise.resolve();
    let begun = 0;
    const syncs = createSyncWatch(
      { clock, log: silentLogger },
      {
        ...{ record: () => record, isAwake: () => true, isChanging: () => false, isGivenUp: () => false },
        begin(reason) {
          begun++;
          under = syncs.publish({ reason, hold: false, signal: new AbortController().signal });
          return under;
        },
        publish: () => Promise.reject(new AppError("unavailable", "the object store is away")),
        behindBytes: async () => 7,
        writeOut: async () => 7,
        tell: (name) => void told.push(name),
      },
    );
    for (let tries = 1; tries <= 10; tries++) {
      bootMs += 60_000;
      syncs.tick();
      assert.equal(begun, tries);
      await assert.rejects(under, { code: "unavailable" });
    }
    bootMs += 20_000;
    syncs.tick();
    assert.equal(begun, 10);
    assert.deepEqual(told, ["sync_failed"]);
    assert.deepEqual([syncs.observe()?.behindBytes, syncs.observe()?.failure], [7, "the object store is away"]);
  });
});
