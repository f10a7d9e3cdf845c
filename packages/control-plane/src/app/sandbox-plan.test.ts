import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { AccountId, MicroVmId, ObservedSandbox, SandboxId, WorkspaceId } from "@mags/domain";
import { planSandboxes, type SandboxPlanInput } from "./sandbox-plan.ts";
import type { LiveSandbox } from "./sandbox-store.ts";

const id = (name: string) => name as SandboxId;
const vm = "vm-1" as MicroVmId;
const live = (name: string, fields: Partial<LiveSandbox> = {}): LiveSandbox => ({
  ...{ id: id(name), accountId: "a" as AccountId, state: "running", microVmId: vm, releaseRequested: false },
  ...{ size: { vcpus: 1, memoryMiB: 1024, diskGiB: 2 }, makerLives: false, hydrated: true, sync: null },
  ...fields,
});
const seen = (name: string, fields: Partial<ObservedSandbox> = {}): ObservedSandbox => ({
  ...{
    sandboxId: id(name),
    state: "running",
    microVmId: vm,
    diskGiB: 2,
    lost: null,
    waitsFor: null,
    hydrated: true,
    sync: null,
  },
  ...fields,
});
const plan = (input: Partial<SandboxPlanInput>) =>
  planSandboxes({ live: [], observed: [], others: new Map(), doubts: null, ...input });
const actions = (input: Partial<SandboxPlanInput>) => plan(input).actions;

describe("planSandboxes", () => {
  it("leaves alone what both see alike", () => {
    assert.deepEqual(actions({ live: [live("a")], observed: [seen("a")] }), []);
  });

  it("takes over another state", () => {
    const observed = [seen("a", { state: "sleeping", microVmId: null })];
    assert.deepEqual(actions({ live: [live("a")], observed }), [
      { kind: "mark_sandbox", sandboxId: "a", state: "sleeping", microVmId: null, lost: null },
    ]);
    const other = [seen("a", { microVmId: "vm-2" as MicroVmId })];
    assert.equal(actions({ live: [live("a")], observed: other })[0]?.kind, "mark_sandbox");
  });

  it("notes that a disk stands on nothing any more", () => {
    const standing = { live: [live("a", { hydrated: false })], observed: [seen("a", { hydrated: false })] };
    assert.deepEqual(actions(standing), []);
    assert.deepEqual(actions({ ...standing, observed: [seen("a")] }), [{ kind: "mark_hydrated", sandboxId: "a" }]);
    assert.deepEqual(actions({ live: [live("a")], observed: [seen("a")] }), []);
  });

  it("counts one as lost that the node does not have", () => {
    assert.deepEqual(actions({ live: [live("a")] }), [{ kind: "sandbox_lost", sandboxId: "a" }]);
  });

  it("believes a difference when two looks find the same one, as a report may be on its way", () => {
    const first = plan({ live: [live("a")], doubts: new Set() });
    assert.deepEqual(first.actions, []);
    assert.deepEqual(plan({ live: [live("a")], doubts: first.doubts }).actions.length, 1);
    const other = { live: [live("a")], observed: [seen("a", { state: "sleeping", microVmId: null })] };
    const changed = plan({ ...other, doubts: first.doubts });
    assert.deepEqual(changed.actions, []);
    assert.equal(plan({ ...other, doubts: changed.doubts }).actions.length, 1);
  });

  it("waits for one whose first job waits, and ends it with that job", () => {
    const starting = { state: "starting", microVmId: null } as const;
    assert.deepEqual(actions({ live: [live("a", { ...starting, makerLives: true })] }), []);
    assert.deepEqual(actions({ live: [live("a", { ...starting, makerLives: true })], observed: [seen("a")] }), []);
    assert.deepEqual(actions({ live: [live("a", starting)] }), [{ kind: "end_sandbox", sandboxId: "a" }]);
    assert.equal(actions({ live: [live("a", starting)], observed: [seen("a")] })[0]?.kind, "mark_sandbox");
  });

  it("releases what is to go, until it is gone", () => {
    const release = { kind: "release_sandbox", sandboxId: "a", reason: "requested" };
    assert.deepEqual(actions({ live: [live("a", { releaseRequested: true })], observed: [seen("a")] }), [release]);
    assert.deepEqual(actions({ live: [live("a", { releaseRequested: true })] }), [release]);
  });

  it("takes over why one sleeps whose VM was lost", () => {
    const observed = [seen("a", { state: "sleeping", microVmId: null, lost: "QEMU was killed" })];
    assert.deepEqual(actions({ live: [live("a")], observed }), [
      { kind: "mark_sandbox", sandboxId: "a", state: "sleeping", microVmId: null, lost: "QEMU was killed" },
    ]);
  });

  it("releases what has ended, but not what was made since the look into the database", () => {
    const others = new Map([[id("a"), "ended"] as const, [id("b"), "live"] as const]);
    assert.deepEqual(actions({ observed: [seen("a"), seen("b")], others }), [
      { kind: "release_sandbox", sandboxId: "a", reason: "ended" },
    ]);
  });

  it("puts to sleep what the database does not have, and keeps it", () => {
    const observed = [seen("a"), seen("b", { state: "sleeping", microVmId: null })];
    assert.deepEqual(actions({ observed }), [{ kind: "shelve_sandbox", sandboxId: "a" }]);
  });

  it("takes over a newer version, and no older one", () => {
    const version = {
      ...{ seq: 3, sha256: "00", createdAtMs: 5, reason: "interval" as const },
      ...{ diskBytes: 9, dataBytes: 2, storedBytes: 1 },
    };
    const sync = { version, syncedAtMs: 7, behindBytes: 0, failure: null, running: null };
    const stored = (seq: number | null) => live("a", { sync: { workspaceId: "w" as WorkspaceId, seq } });
    for (const seq of [null, 2])
      assert.deepEqual(actions({ live: [stored(seq)], observed: [seen("a", { sync })] }), [
        { kind: "adopt_sync", sandboxId: "a", version, syncedAtMs: 7 },
      ]);
    for (const seq of [3, 4]) assert.deepEqual(actions({ live: [stored(seq)], observed: [seen("a", { sync })] }), []);
    assert.deepEqual(actions({ live: [live("a")], observed: [seen("a", { sync })] }), []);
  });

  it("takes over a larger disk", () => {
    assert.deepEqual(actions({ live: [live("a")], observed: [seen("a", { diskGiB: 5 })] }), [
      { kind: "raise_disk", sandboxId: "a", diskGiB: 5 },
    ]);
  });
});
