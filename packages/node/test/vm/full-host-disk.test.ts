import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { mountSmallDisk, type SmallDisk, waitFor } from "@mags/test-kit";
import { openSyncedNode, type SyncedNode } from "./synced-node.ts";

const NODE = { prefix: "tfd", network: "10.243.0.0/24", uidBase: 1_961_000_000 };
const DISK_BYTES = 1024 ** 3;

let disk: SmallDisk;
let node: SyncedNode;
before(async () => {
  disk = await mountSmallDisk(DISK_BYTES);
  node = await openSyncedNode({ ...NODE, dataDirectory: join(disk.path, "d") });
});
after(async () => {
  await disk.makeRoom();
  await node?.[Symbol.asyncDispose]();
  await disk[Symbol.asyncDispose]();
});

const FULL = { code: "disk_full", message: /^the host's disk is full: free some room under \// };

/** Copies and says so, when there is room for it. */
const COPY = "cp /root/old /root/new && sync && echo copied >/root/said";

describe("a synced sandbox whose guest waits for room on the host's disk", () => {
  it("says so to all that ask something of it, loses nothing, and goes on when there is room", async () => {
    const target = node.newTarget("w");
    const id = await node.sandboxWith({ syncTo: target }, "head -c 4M /dev/urandom >/root/old; sync");
    const first = await node.sync(id);
    const boot = await node.run(id, "cat /proc/sys/kernel/random/boot_id");
    await disk.fill();
    await node.run(id, `setsid sh -c '${COPY}' >/dev/null 2>&1 &`);
    await waitFor(() => node.seen(id).waitsFor !== null, { what: "the guest to wait", deadlineMs: 60_000 });
    assert.match(node.seen(id).waitsFor ?? "", /the host's disk is full/);

    for (let tries = 0; tries < 2; tries++) await assert.rejects(node.sync(id), FULL);
    assert.match(node.seen(id).sync?.failure ?? "", FULL.message);
    await assert.rejects(node.run(id, "true"), FULL);
    await assert.rejects(node.node.releaseSandbox(id, { reason: "stop" }), FULL);
    await assert.rejects(node.node.sleepSandbox(id, { reason: "requested" }), {
      code: "unavailable",
      message: /could not be put to sleep and runs on: the host's disk is full: free some room under/,
    });
    const told = node.of(id).map(({ name }) => name);
    assert.deepEqual(
      ["host_disk_full", "sync_failed", "sleep_failed"].map((name) => told.filter((one) => one === name).length),
      [1, 1, 1],
    );
    assert.deepEqual(await node.latest(target), first);

    await disk.makeRoom();
    const done =
      "until [ -e /root/said ]; do sleep 0.1; done; cmp /root/old /root/new; cat /proc/sys/kernel/random/boot_id";
    assert.equal(await node.run(id, done), boot);
    await waitFor(() => node.seen(id).waitsFor === null, { what: "the guest to be said to go on" });
    assert.ok((await node.sync(id)).seq > first.seq);
    assert.equal(node.seen(id).sync?.failure, null);
    await node.node.sleepSandbox(id, { reason: "requested" });
    assert.equal(await node.run(id, done), boot);
  });
});
