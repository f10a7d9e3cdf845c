import assert from "node:assert/strict";
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import type { SandboxUpdate } from "@mags/domain";
import { waitFor } from "@mags/test-kit";
import { openQmp } from "../../src/qemu/qmp.ts";
import { openSyncedNode, refOf, STAYS, type SyncedNode } from "./synced-node.ts";

const GIB = 1024 ** 3;
const MIB = 1024 ** 2;
const deadlineMs = 60_000;
const SIZE_MIB = "df --output=size -B1M / | tail -1";
let tests: SyncedNode;

before(async () => {
  tests = await openSyncedNode({ prefix: "tss", network: "10.249.0.0/24", uidBase: 1_951_000_000 });
});
after(async () => {
  await tests?.[Symbol.asyncDispose]();
});

const named = (updates: readonly SandboxUpdate[], wanted: string) => updates.filter(({ name }) => name === wanted);

/** What the disk of a sandbox takes of the host's. */
async function hostBytes(id: string): Promise<number> {
  const { blocks } = await stat(join(tests.dataDirectory, "sandboxes", id, "disk.qcow2"));
  return blocks * 512;
}

describe("a synced sandbox", () => {
  it("has what it deletes leave the next version and the host's disk, also when it stands on a version", async (t) => {
    const { node, signal } = tests;
    const small = 6 * MIB;
    // The bytes of the image are compressed ones.
    const target = tests.newTarget("tidy");
    const id = await tests.sandboxWith({ syncTo: target }, "head -c 36M /dev/vda >/root/big; echo kept >/root/kept");
    const full = await tests.sync(id);
    const fullBytes = await hostBytes(id);
    await tests.run(id, "rm /root/big");
    const tidy = await tests.sync(id);
    const tidyBytes = await hostBytes(id);
    t.diagnostic(`stored: ${full.storedBytes}, then ${tidy.storedBytes}; on the host: ${fullBytes}, then ${tidyBytes}`);
    assert.ok(full.storedBytes > 24 * MIB && fullBytes > 36 * MIB);
    assert.ok(tidy.storedBytes < small && tidyBytes < small);
    await node.releaseSandbox(id, { reason: "stop" });

    const fork = tests.newTarget("fork", { workspaceId: target.workspaceId, name: "tidy", seq: full.seq });
    const copy = await tests.sandboxWith({ from: refOf(target, full), syncTo: fork });
    assert.equal(await tests.run(copy, "cmp -n 36M /root/big /dev/vda; rm /root/big; cat /root/kept"), "kept\n");
    await node.sleepSandbox(copy, { reason: "requested" });
    assert.ok((await tests.latest(fork)).storedBytes < small, "what its base has there is not read any more");
    assert.ok((await hostBytes(copy)) < small);
    await node.wakeSandbox(copy, { reason: "requested", signal });
    await tests.run(copy, "head -c 12M /dev/vda >/root/other; sync");
    assert.ok((await tests.sync(copy)).storedBytes > small);
    await tests.run(copy, "rm /root/other");
    await node.releaseSandbox(copy, { reason: "stop" });
    const last = await tests.latest(fork);
    assert.ok(last.storedBytes < small, `${last.storedBytes} bytes are stored`);

    const again = await tests.sandboxWith({ from: refOf(fork, last) });
    assert.equal(await tests.run(again, "ls /root; cat /root/kept"), "kept\nkept\n");
    await node.releaseSandbox(again, { reason: "test" });
  });

  it("that fell asleep while the store was away says so, and is published and asleep again when it is there", async () => {
    const target = tests.newTarget("sleeper");
    const idle = { action: "sleep", afterMs: 3_600_000 } as const;
    const id = await tests.sandboxWith({ idle, syncTo: target }, "echo 1 >/root/n");
    const first = await tests.sync(id);
    await tests.run(id, "head -c 2000000 /dev/urandom >/root/big; sync");
    await tests.storeGoes();
    await tests.node.sleepSandbox(id, { reason: "requested" });
    await tests.restart();
    const { sync, state } = tests.seen(id);
    assert.equal(state, "sleeping");
    assert.ok(sync && sync.behindBytes >= 2_000_000, JSON.stringify(sync));
    assert.ok(sync.failure);
    assert.deepEqual(named(tests.of(id), "woke"), [], "nobody wakes it for nothing");
    await tests.storeComes();
    await waitFor(() => named(tests.of(id), "slept").length > 0, { what: "its sleep", deadlineMs });
    assert.deepEqual(
      tests.of(id).flatMap(({ name, data }) => (name === "woke" || name === "slept" ? [[name, data.reason]] : [])),
      [
        ["woke", "sync"],
        ["slept", "sync"],
      ],
    );
    const caughtUp = tests.seen(id);
    assert.deepEqual([caughtUp.state, caughtUp.sync?.behindBytes, caughtUp.sync?.failure], ["sleeping", 0, null]);
    assert.ok((await tests.latest(target)).seq > first.seq);
    const version = await tests.latest(target);
    await tests.node.releaseSandbox(id, { reason: "stop" });
    assert.deepEqual(await tests.latest(target), version, "nothing was left to publish");
  });

  it("that sleeps or stops makes one version of what was written last, flushed or not, and none of nothing", async () => {
    const target = tests.newTarget("once");
    const numbers = async () => (await tests.node.listVersions(target, tests)).map(({ seq }) => seq);
    const id = await tests.sandboxWith({ syncTo: target }, "echo 1 >/root/n");
    const sleepAndWake = async () => {
      await tests.node.sleepSandbox(id, { reason: "requested" });
      await tests.node.wakeSandbox(id, { reason: "requested", signal: tests.signal });
    };
    const first = await tests.sync(id);
    await sleepAndWake();
    assert.deepEqual(await tests.sync(id), first, "it only slept");
    await tests.run(id, "echo 2 >/root/n");
    await sleepAndWake();
    assert.deepEqual(await numbers(), [1, 2]);
    await tests.node.releaseSandbox(id, { reason: "stop" });
    assert.deepEqual(await numbers(), [1, 2]);

    const next = await tests.sandboxWith({ from: refOf(target, await tests.latest(target)), syncTo: target });
    await tests.run(next, "(while :; do echo more >>/root/log; sleep 0.02; done) >/dev/null 2>&1 &");
    assert.equal(await tests.run(next, "cat /root/n; echo 3 >/root/n"), "2\n");
    await tests.node.releaseSandbox(next, { reason: "stop" });
    assert.deepEqual(await numbers(), [1, 2, 3]);
    const copy = await tests.sandboxWith({ from: refOf(target, await tests.latest(target)) });
    assert.equal(await tests.run(copy, "cat /root/n"), "3\n");
    await tests.node.releaseSandbox(copy, { reason: "test" });
  });

  it("is published with the size that its disk has, also when the growth to it was cut off", async () => {
    const target = tests.newTarget("grown");
    const id = await tests.sandboxWith({ syncTo: target }, "echo 1 >/root/n");
    await tests.sync(id);
    await tests.restart(async () => {
      const record = JSON.parse(await readFile(join(tests.dataDirectory, "sandboxes", id, "sandbox.json"), "utf8"));
      const socket = join(tests.dataDirectory, "vms", record.microVmId, "qmp.sock");
      await using qmp = await openQmp(socket, { signal: tests.signal });
      await qmp.execute("block_resize", { "node-name": "slot", size: 3 * GIB });
    });
    await tests.run(id, "echo 2 >/root/n");
    const { diskBytes } = await tests.sync(id);
    assert.equal(diskBytes, 3 * GIB);
    const half = await tests.sandboxWith({ from: refOf(target, await tests.latest(target)) });
    assert.ok(Number(await tests.run(half, SIZE_MIB)) > 2_700, "its file system fills the disk all the same");
    await tests.node.releaseSandbox(half, { reason: "test" });
    await tests.node.growSandbox(id, { diskGiB: 3 });
    assert.ok(Number(await tests.run(id, SIZE_MIB)) > 2_700);
    await tests.node.releaseSandbox(id, { reason: "stop" });
    const copy = await tests.sandboxWith({ from: refOf(target, await tests.latest(target)) });
    assert.equal(await tests.run(copy, "cat /root/n"), "2\n");
    await tests.node.releaseSandbox(copy, { reason: "test" });
  });

  it("that was local gets the folder of synced ones, and a new policy while it is being published", async () => {
    const target = tests.newTarget("promoted");
    const id = await tests.sandboxWith({}, "head -c 3000000 /dev/urandom >/root/big");
    assert.equal(await tests.run(id, "ls -d /jfs || true"), "");
    await tests.node.setSandboxPolicy(id, { ...STAYS, syncTo: target });
    assert.equal(await tests.run(id, "ls -d /jfs"), "/jfs\n");
    await tests.slowStore(200_000);
    const publishing = tests.sync(id);
    const running = await waitFor(() => tests.seen(id).sync?.running, { what: "how far it is", deadlineMs });
    assert.ok(running.totalBytes >= 3_000_000 && running.readBytes <= running.totalBytes, JSON.stringify(running));
    assert.ok((tests.seen(id).sync?.behindBytes ?? 0) >= 3_000_000);
    // The guest goes on, also over what is being published.
    await tests.run(id, "head -c 3000000 /dev/urandom >/root/big; sync; echo after >/root/after");
    const policy = { ...STAYS, syncTo: target, egress: "none" } as const;
    const first = await Promise.race([
      tests.node.setSandboxPolicy(id, policy).then(() => "policy"),
      publishing.then(() => "sync"),
    ]);
    assert.equal(first, "policy");
    await tests.node.growSandbox(id, { diskGiB: 3 });
    await tests.slowStore(null);
    assert.equal((await publishing).reason, "promotion");
    assert.equal(tests.seen(id).sync?.running, null);
    await waitFor(() => named(tests.of(id), "resized").length > 0, { what: "the growth", deadlineMs });
    const releases = [1, 2, 3].map(() => tests.node.releaseSandbox(id, { reason: "stop" }));
    await Promise.all(releases);
    assert.equal(named(tests.of(id), "released").length, 1);
  });
});
