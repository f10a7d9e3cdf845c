import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { call, controlSocketOf } from "@mags/block-server";
import type { SandboxId } from "@mags/domain";
import { waitFor } from "@mags/test-kit";
import { blocksDirectory } from "../../src/workspaces/blocks.ts";
import { openSyncedNode, refOf, SUMS, type SyncedNode } from "./synced-node.ts";

const READ = `echo 3 >/proc/sys/vm/drop_caches; ${SUMS}`;

/** 8 MiB in the second half of the disk: nothing of the version is there. */
const ZEROS = "dd if=/dev/vdb bs=1M skip=1400 count=8 iflag=direct | sha256sum";
const NODE = {
  ...{ prefix: "thy", network: "10.248.0.0/24", uidBase: 1_953_000_000 },
  hydration: { mb_per_second: 3, after_seconds: 0 },
};

let tests: SyncedNode;
before(async () => {
  tests = await openSyncedNode(NODE);
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

  it("whose node is killed when the record names no base, and QEMU has one: the next node has QEMU let go of it", async () => {
    const target = tests.newTarget("cut");
    const made = await tests.sandboxWith({ syncTo: target }, "head -c 2000000 /dev/urandom >/root/kept");
    const sums = await tests.run(made, SUMS);
    await tests.node.releaseSandbox(made, { reason: "stop" });
    const version = refOf(target, await tests.latest(target));

    let id = "";
    await tests.restart(async () => {
      const program = join(import.meta.dirname, "killed-hydration.program.ts");
      const options = JSON.stringify({ ...NODE, dataDirectory: tests.dataDirectory });
      const stdio = ["ignore", "pipe", "inherit"] as const;
      const child = spawn(process.execPath, [program, options, JSON.stringify(version)], { stdio: [...stdio] });
      child.stdout?.on("data", (bytes: Buffer) => {
        id += bytes.toString();
      });
      assert.deepEqual(await once(child, "close"), [null, "SIGKILL"]);
      const record = JSON.parse(await readFile(join(tests.dataDirectory, "sandboxes", id, "sandbox.json"), "utf8"));
      assert.deepEqual([record.base, await served()], [null, [id]]);
    });
    const sandbox = id as SandboxId;
    assert.deepEqual([tests.seen(sandbox).hydrated, tests.seen(sandbox).state], [true, "running"]);
    await waitFor(async () => (await served()).length === 0, { what: "the end of what was served for it" });
    const zeros = createHash("sha256")
      .update(Buffer.alloc(8 << 20))
      .digest("hex");
    assert.equal(await tests.run(sandbox, ZEROS), `${zeros}  -\n`, "nobody is asked for what is zeros");
    assert.equal(await tests.run(sandbox, READ), sums);
    await tests.node.releaseSandbox(sandbox, { reason: "test" });
  });
});
