import assert from "node:assert/strict";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { call, controlSocketOf } from "@mags/block-server";
import { waitFor } from "@mags/test-kit";
import { blocksDirectory } from "../../src/workspaces/blocks.ts";
import { openSyncedNode, refOf, SUMS, type SyncedNode } from "./synced-node.ts";

const READ = `echo 3 >/proc/sys/vm/drop_caches; ${SUMS}`;

let tests: SyncedNode;
before(async () => {
  tests = await openSyncedNode({
    ...{ prefix: "thy", network: "10.248.0.0/24", uidBase: 1_953_000_000 },
    hydration: { mb_per_second: 3, after_seconds: 0 },
  });
});
after(() => tests?.[Symbol.asyncDispose]());

const socket = () => controlSocketOf(blocksDirectory(tests.dataDirectory));
const served = () => call(socket(), "served", {}, { signal: tests.signal });

describe("hydration", () => {
  it("has a disk do without store and block server, through a sync, a sleep and a wake in the middle of it", async () => {
    const { node, signal } = tests;
    const target = tests.newTarget("project");
    const first = await tests.sandboxWith({ syncTo: target }, "head -c 20000000 /dev/urandom >/root/big");
    await node.releaseSandbox(first, { reason: "stop" });

    const id = await tests.sandboxWith({ from: refOf(target, await tests.latest(target)), syncTo: target });
    const changed = () => Number(tests.of(id).findLast(({ name }) => name === "synced")?.data.changedBytes);
    await tests.run(id, "echo 1 >/root/n");
    await tests.sync(id);
    assert.ok(changed() < 3_000_000, String(changed()));
    await node.sleepSandbox(id, { reason: "requested" });
    assert.equal(tests.seen(id).hydrated, false);
    await node.wakeSandbox(id, { reason: "requested", signal });
    const sums = await tests.run(id, READ);

    const told = await waitFor(() => tests.of(id).find(({ name }) => name === "hydrated"), {
      what: "its hydration",
      deadlineMs: 120_000,
    });
    assert.ok(Number(told.data.dataBytes) > 20_000_000, JSON.stringify(told));
    assert.deepEqual([tests.seen(id).hydrated, await served()], [true, []]);
    await tests.run(id, "echo 2 >/root/n");
    await tests.sync(id);
    assert.ok(changed() < 3_000_000, String(changed()));

    await tests.storeGoes();
    process.kill((await call(socket(), "hello", {}, { signal })).pid, "SIGKILL");
    await rm(join(blocksDirectory(tests.dataDirectory), "cache"), { recursive: true });
    const big = sums.split("\n").find((line) => line.endsWith("big"));
    assert.ok(big && (await tests.run(id, READ)).includes(big), "all of it is on the disk");
    await node.sleepSandbox(id, { reason: "requested" });
    await node.wakeSandbox(id, { reason: "requested", signal });
    assert.ok((await tests.run(id, READ)).includes(big), "also in another QEMU");
    await tests.storeComes();
    await node.releaseSandbox(id, { reason: "stop" });
  });
});
