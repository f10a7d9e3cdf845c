import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { call, controlSocketOf } from "@mags/block-server";
import { waitFor } from "@mags/test-kit";
import { blocksDirectory } from "../../src/workspaces/blocks.ts";
import { openSyncedNode, refOf, SUMS, type SyncedNode } from "./synced-node.ts";

let tests: SyncedNode;

before(async () => {
  tests = await openSyncedNode({ prefix: "tws", network: "10.251.0.0/24", uidBase: 1_947_000_000 });
});
after(async () => {
  await tests?.[Symbol.asyncDispose]();
});

// The store and its server are as ever.
describe("one of several synced sandboxes", { concurrency: 2 }, () => {
  it("is published, and restored in another microVM with all its files", async () => {
    const target = tests.newTarget("project");
    const id = await tests.sandboxWith(
      { syncTo: target },
      "mkdir -p /root/a/b; head -c 3000000 /dev/urandom >/root/a/b/c; echo x >/etc/mine",
    );
    const first = await tests.sync(id);
    assert.deepEqual([first.seq, first.reason], [1, "request"]);
    await tests.run(id, "head -c 500000 /dev/urandom >/root/second; rm /root/a/b/c; echo y >/etc/mine");
    const second = await tests.sync(id);
    const sent = tests.of(id).findLast(({ name }) => name === "synced")?.data;
    assert.ok(Number(sent?.sentBytes) < 4_000_000, JSON.stringify(sent));
    assert.deepEqual(await tests.sync(id), second, "nothing has changed");
    const sums = await tests.run(id, SUMS);

    const copy = await tests.sandboxWith({ from: refOf(target, second) });
    assert.equal(await tests.run(copy, SUMS), sums);
    assert.equal(await tests.run(copy, "cat /etc/mine"), "y\n");
    const older = await tests.sandboxWith({ from: refOf(target, first) });
    assert.equal(await tests.run(older, "cat /etc/mine; stat -c %s /root/a/b/c"), "x\n3000000\n");
    for (const one of [copy, older]) await tests.node.releaseSandbox(one, { reason: "test" });
    const versions = await tests.node.listVersions(target, { signal: tests.signal });
    assert.deepEqual(
      versions.map(({ seq }) => seq),
      [1, 2],
    );

    await tests.run(id, "echo last >/root/last");
    await tests.node.releaseSandbox(id, { reason: "stop" });
    const last = await tests.latest(target);
    assert.ok(last.seq > second.seq && last.reason === "stop");
    const again = await tests.sandboxWith({ from: refOf(target, last), syncTo: target });
    assert.equal(await tests.run(again, "cat /root/last"), "last\n");
    await tests.run(again, "echo more >>/root/last");
    const next = await tests.sync(again);
    assert.deepEqual([next.seq, next.reason], [last.seq + 1, "request"]);
    await tests.node.releaseSandbox(again, { reason: "stop" });
  });

  it("is forked without the base being changed", async () => {
    const base = tests.newTarget("base");
    const id = await tests.sandboxWith({ syncTo: base }, "echo base >/root/f");
    const version = await tests.sync(id);
    await tests.node.releaseSandbox(id, { reason: "stop" });
    const { workspaceId, name } = base;
    const targets = [1, 2, 3].map((n) => tests.newTarget(`fork-${n}`, { workspaceId, name, seq: version.seq }));
    const forks = await Promise.all(
      targets.map((target, n) =>
        tests.sandboxWith({ from: refOf(base, version), syncTo: target }, `echo ${n} >>/root/f`),
      ),
    );
    for (const [n, fork] of forks.entries()) {
      assert.equal(await tests.run(fork, "cat /root/f"), `base\n${n}\n`);
      const { seq, reason } = await tests.sync(fork);
      assert.deepEqual([seq, reason], [1, "fork"]);
      await tests.node.releaseSandbox(fork, { reason: "stop" });
    }
    const same = await tests.sandboxWith({ from: refOf(base, version) });
    assert.equal(await tests.run(same, "cat /root/f"), "base\n");
    await tests.node.releaseSandbox(same, { reason: "test" });
  });

  it("sleeps and wakes, and is published again from what it was, without being compared", async () => {
    const target = tests.newTarget("sleeper");
    const id = await tests.sandboxWith({ syncTo: target }, "echo 1 >/root/n; head -c 2000000 /dev/urandom >/root/big");
    await tests.node.sleepSandbox(id, { reason: "requested" });
    const [first] = await tests.node.listVersions(target, { signal: tests.signal });
    assert.equal(first?.reason, "sleep");
    await tests.node.wakeSandbox(id, { reason: "requested", signal: tests.signal });
    await tests.run(id, "echo 2 >/root/n");
    await tests.sync(id);
    const sent = tests.of(id).findLast(({ name }) => name === "synced")?.data;
    assert.ok(Number(sent?.changedBytes) < 2_000_000, JSON.stringify(sent));
    await tests.node.releaseSandbox(id, { reason: "stop" });
  });

  it("wakes cold after its QEMU was killed between a wake and a sync, and is published whole", async () => {
    const target = tests.newTarget("killed");
    const id = await tests.sandboxWith({ syncTo: target }, "echo 1 >/root/n; head -c 1000000 /dev/urandom >/root/big");
    await tests.node.sleepSandbox(id, { reason: "requested" });
    await tests.node.wakeSandbox(id, { reason: "requested", signal: tests.signal });
    await tests.run(id, "echo 2 >/root/n; sync");
    const microVmId = tests.node.observeSandboxes().find(({ sandboxId }) => sandboxId === id)?.microVmId;
    const pid = tests.node.footprint().microVms.find((microVm) => microVm.id === microVmId)?.pid;
    assert.ok(pid);
    process.kill(pid, "SIGKILL");
    await waitFor(() => tests.of(id).some(({ name }) => name === "vm_lost"), { what: "its loss" });
    assert.equal(await tests.run(id, "cat /root/n"), "2\n");
    const sums = await tests.run(id, SUMS);
    await tests.node.releaseSandbox(id, { reason: "stop" });
    const copy = await tests.sandboxWith({ from: refOf(target, await tests.latest(target)) });
    assert.equal(await tests.run(copy, SUMS), sums);
    await tests.node.releaseSandbox(copy, { reason: "test" });
  });
});

describe("a synced sandbox", () => {
  it("waits for a store that is away, and goes on", async () => {
    const target = tests.newTarget("patient");
    const id = await tests.sandboxWith({ syncTo: target }, "head -c 6000000 /dev/urandom >/root/big");
    const sums = await tests.run(id, SUMS);
    await tests.node.releaseSandbox(id, { reason: "stop" });
    const version = await tests.latest(target);
    const copy = await tests.sandboxWith({ from: refOf(target, version), syncTo: target });
    await rm(join(blocksDirectory(tests.dataDirectory), "cache"), { recursive: true });
    await tests.storeGoes();
    const reading = tests.run(copy, SUMS);
    await assert.rejects(tests.sync(copy));
    await waitFor(() => tests.of(copy).some(({ name }) => name === "sync_failed"), { what: "word of it" });
    await tests.storeComes();
    assert.equal(await reading, sums);
    const { seq } = await tests.sync(copy);
    assert.equal(seq, version.seq + 1);
    await tests.node.releaseSandbox(copy, { reason: "stop" });
  });

  it("says that its VM was lost when its QEMU is killed while it is synced", async () => {
    const target = tests.newTarget("killed-in-sync");
    const id = await tests.sandboxWith({ syncTo: target });
    await tests.sync(id);
    await tests.run(id, "head -c 4000000 /dev/urandom >/root/big; sync");
    await tests.slowStore(200_000);
    const syncing = tests.node.syncSandbox(id, { reason: "request", signal: tests.signal });
    const told = assert.rejects(syncing, { code: "microvm_lost", message: /^the VM was lost: / });
    await waitFor(() => Number(tests.seen(id).sync?.running?.totalBytes) > 0, {
      what: "the copy",
      deadlineMs: 30_000,
    });
    const microVmId = tests.node.observeSandboxes().find(({ sandboxId }) => sandboxId === id)?.microVmId;
    const pid = tests.node.footprint().microVms.find((microVm) => microVm.id === microVmId)?.pid;
    assert.ok(pid);
    process.kill(pid, "SIGKILL");
    await waitFor(() => !existsSync(`/proc/${pid}`), { what: "its end" });
    await tests.slowStore(null);
    await told;
    assert.match(
      String(tests.of(id).findLast(({ name }) => name === "sync_failed")?.data.reason),
      /^the VM was lost: /,
    );
    await tests.node.releaseSandbox(id, { reason: "stop" });
  });

  it("reads on after its block server was killed, and survives a restart of the node", async () => {
    const target = tests.newTarget("tough");
    const id = await tests.sandboxWith({ syncTo: target }, "head -c 4000000 /dev/urandom >/root/big");
    const sums = await tests.run(id, SUMS);
    await tests.node.releaseSandbox(id, { reason: "stop" });
    const version = await tests.latest(target);
    const copy = await tests.sandboxWith({ from: refOf(target, version), syncTo: target });
    const socket = controlSocketOf(blocksDirectory(tests.dataDirectory));
    const { pid } = await call(socket, "hello", {}, { signal: tests.signal });
    process.kill(pid, "SIGKILL");
    assert.equal(await tests.run(copy, SUMS), sums);
    process.kill((await call(socket, "hello", {}, { signal: tests.signal })).pid, "SIGKILL");
    await tests.sync(copy);
    await tests.restart();
    await tests.run(copy, "echo after >/root/after");
    const after = await tests.sync(copy);
    assert.equal(after.seq > version.seq, true);
    await tests.node.releaseSandbox(copy, { reason: "stop" });
    const last = await tests.sandboxWith({ from: refOf(target, after) });
    assert.equal(await tests.run(last, "cat /root/after"), "after\n");
    await tests.node.releaseSandbox(last, { reason: "test" });
  });
});
