import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it } from "node:test";
import { type Clock, silentLogger, systemClock } from "@mags/core";
import type { AccountId, NodeUpdate, SandboxId, WorkspaceId } from "@mags/domain";
import { waitFor } from "@mags/test-kit";
import { createCatchUp } from "./catch-up.ts";
import { createSandboxLife } from "./sandbox-life.ts";
import type { SandboxRecord, SandboxStore } from "./sandbox-record.ts";

const syncTo = {
  ...{ accountId: randomUUID() as AccountId, workspaceId: randomUUID() as WorkspaceId, name: "w", forkedFrom: null },
};
const ASLEEP = { atMs: 0, reason: "", memory: {}, synced: false, behind: { bytes: 7, reason: "the store is away" } };

/** One that fell asleep while the store was away, as far as a catch-up looks at it; `publish` is what happens meanwhile. */
function sleeper({ publish = async () => {}, misfit = undefined as string | undefined, idle = "sleep" } = {}) {
  const policy = { idle: { action: idle, afterMs: 60_000 }, syncTo };
  const record = { id: randomUUID() as SandboxId, policy, scripts: [], published: null, asleep: ASLEEP };
  const store = { write: async () => {} } as unknown as SandboxStore;
  const reports: NodeUpdate[] = [];
  let bootMs = 0;
  let looked = false;
  const clock: Clock = { ...systemClock, bootMs: () => bootMs };
  const report = (update: NodeUpdate) => void reports.push(update);
  const life = createSandboxLife(
    { store, clock, log: silentLogger, report },
    { record: record as unknown as SandboxRecord, awake: null },
  );
  const done: string[] = [];
  const sandbox = { uses: 0 };
  const catchUp = createCatchUp({ clock, log: silentLogger }, life, {
    reach: async () => {},
    async misfit() {
      looked = true;
      return misfit;
    },
    wake: async () => void done.push("wake"),
    async publish() {
      await publish();
      done.push("publish");
    },
    sleep: async () => void done.push("sleep"),
    uses: () => sandbox.uses,
    tell: life.tell,
  });
  /** Resolves when all that one look does is done. */
  const look = async () => {
    bootMs += 3_600_000;
    looked = false;
    catchUp.tick();
    await waitFor(() => looked && !life.isChanging(), { what: "its look" });
  };
  return { life, done, reports, sandbox, look };
}

describe("a catch-up", () => {
  it("wakes, publishes, and puts to sleep", async () => {
    const { done, look } = sleeper();
    await look();
    assert.deepEqual(done, ["wake", "publish", "sleep"]);
  });

  it("leaves one awake that somebody has begun to use, also when the call is over", async () => {
    const one = sleeper({ publish: async () => void one.sandbox.uses++ });
    await one.look();
    assert.deepEqual(one.done, ["wake", "publish"]);
  });

  it("leaves one awake in which a script runs that keeps it awake", async () => {
    const script = { jobId: "job", startedAtMs: 0, keepsAwake: true };
    const publish = () => one.life.write({ scripts: [script] } as unknown as Partial<SandboxRecord>);
    const one = sleeper({ publish });
    await one.look();
    assert.deepEqual(one.done, ["wake", "publish"]);
  });

  it("leaves one awake that is never to sleep", async () => {
    const { done, look } = sleeper({ idle: "none" });
    await look();
    assert.deepEqual(done, ["wake", "publish"]);
  });

  it("leaves one asleep whose memory cannot be used, and says so once", async () => {
    const { life, done, reports, look } = sleeper({ misfit: "its memory is of another version of QEMU" });
    await look();
    await look();
    assert.deepEqual(done, []);
    const { asleep } = life.kept.now;
    assert.ok(asleep?.memory);
    assert.equal(asleep.behind?.bytes, 7);
    assert.match(asleep.behind.reason, /another version of QEMU, so the VM is not woken/);
    assert.equal(reports.length, 1);
  });
});

describe("what is told of a sandbox", () => {
  it("says that it is gone with its release, and not before", () => {
    const { life, reports } = sleeper();
    life.end();
    life.tell("workspace_damaged", {});
    life.tell("released", {});
    assert.deepEqual(
      reports.map((update) => update.type === "sandbox" && update.state),
      ["sleeping", "gone"],
    );
  });
});
