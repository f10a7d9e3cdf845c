import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { AppError, silentLogger } from "@mags/core";
import type { WorkspaceVersion } from "@mags/domain";
import { createSimulatedNode } from "@mags/test-kit";
import { workspaceOf } from "../../test/support/workspaces.ts";
import { createNewestVersions } from "./newest-versions.ts";

const versionOf = (seq: number): WorkspaceVersion => ({
  ...{
    seq,
    sha256: String(seq).repeat(64),
    createdAtMs: 0,
    reason: "stop",
    diskBytes: 1,
    dataBytes: 1,
    storedBytes: 1,
  },
});

/** A store with these versions. */
function storeOf(...seqs: readonly number[]) {
  const recorded: number[] = [];
  const store = { looks: 0, isAway: false };
  const newest = createNewestVersions({
    log: silentLogger,
    workspaces: { recordVersion: async (_, { seq }) => void recorded.push(seq) },
    node: {
      ...createSimulatedNode(),
      async listVersions() {
        store.looks++;
        if (store.isAway) throw new AppError("unavailable", "the store is away");
        return seqs.map(versionOf);
      },
    },
  });
  return { store, recorded, newest };
}

describe("createNewestVersions", () => {
  it("takes over what is newer than what is known, with one look however often it is asked", async () => {
    const { store, recorded, newest } = storeOf(8, 9);
    const known = workspaceOf("w", 5);
    assert.deepEqual(await Promise.all([newest.takeOver(known), newest.takeOver(known)]), [true, true]);
    assert.equal(await newest.takeOver(known), false);
    assert.deepEqual([store.looks, recorded], [1, [9]]);
    assert.equal(await newest.takeOver(workspaceOf("other", null)), true);
    assert.equal(store.looks, 2);
  });

  it("leaves what is known where the store has nothing, or older versions only", async () => {
    for (const { recorded, newest } of [storeOf(), storeOf(3, 4)]) {
      assert.equal(await newest.takeOver(workspaceOf("w", 5)), false);
      assert.deepEqual(recorded, []);
    }
  });

  it("looks again when the store was away", async () => {
    const { store, recorded, newest } = storeOf(9);
    store.isAway = true;
    assert.equal(await newest.takeOver(workspaceOf("w", 5)), false);
    store.isAway = false;
    assert.equal(await newest.takeOver(workspaceOf("w", 5)), true);
    assert.deepEqual(recorded, [9]);
  });
});
