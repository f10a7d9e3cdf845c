import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { silentLogger, systemClock } from "@mags/core";
import { newMicroVmId } from "@mags/domain";
import { makeTempDir, waitFor } from "@mags/test-kit";
import { createIndexes } from "../network/indexes.ts";
import { createNamespacePool } from "../network/namespace-pool.ts";
import { createMicroVmHost } from "./microvm-host.ts";
import { writeRecord } from "./record.ts";
import { createTidier } from "./tidier.ts";

const CAPACITY = 5;

describe("a microVM of which something cannot be removed", () => {
  it("loses everything else at once, is nobody's meanwhile, and is removed when that is possible", async () => {
    await using temp = await makeTempDir();
    await using tidier = createTidier({ clock: systemClock, log: silentLogger }, { jobsWaiting: () => false });
    const root = temp.path;
    const id = newMicroVmId();
    await writeRecord(root, {
      ...{ version: 1, id, index: 1, templateKey: "t", bootId: "earlier", process: null, parked: null },
    });
    let busy = true;
    const removed: number[] = [];
    const network = {
      list: async () => [1],
      create: async () => assert.fail("none is made"),
      async remove(index: number) {
        if (busy) throw new Error("the namespace is busy");
        removed.push(index);
      },
    };
    const namespaces = createNamespacePool(
      { network, indexes: createIndexes(CAPACITY), later: tidier.add },
      { size: 0 },
    );
    const runtime = { dir: join(root, "objects/runtime-1/root"), launcher: "" };
    const host = createMicroVmHost(
      { runtime, network, namespaces, tidier, cgroups: null, log: silentLogger },
      { root, uidBase: 1_950_000_000, capacity: CAPACITY, bootId: "now" },
    );
    const [found] = await host.sweep();
    assert.ok(found);
    assert.deepEqual(host.list(), [{ id, index: 1, pid: null }]);

    await assert.rejects(host.discard(found.record), /could not be removed: the namespace is busy/);
    assert.equal(existsSync(join(root, id)), false);
    assert.deepEqual(host.list(), []);
    busy = false;
    await waitFor(async () => removed.length > 0, { what: "the next try" });
    assert.deepEqual(removed, [1]);
  });
});
