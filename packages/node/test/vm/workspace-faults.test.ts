import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readdir, rm, stat, statfs, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, afterEach, before, describe, it } from "node:test";
import type { SandboxId, SyncTarget, WorkspaceVersion } from "@mags/domain";
import { openFileStore } from "@mags/object-store";
import { mountSmallDisk, type SmallDisk, waitFor } from "@mags/test-kit";
import { CHUNK_BYTES, openVersion, recordsOf } from "@mags/workspace-store";
import { blocksDirectory } from "../../src/workspaces/blocks.ts";
import { openSyncedNode, refOf, SUMS, type SyncedNode } from "./synced-node.ts";

const DISK_BYTES = 2 * 1024 ** 3;
const CACHE_BYTES = 1 << 20;
const STORE_BYTES = 256 << 20;
const NODE = { prefix: "twf", network: "10.248.0.0/24", uidBase: 1_954_000_000 };

let disk: SmallDisk;
let node: SyncedNode;
const dataDirectory = () => join(disk.path, "d");
const objects = () => join(dataDirectory(), "objects");
const cache = () => join(blocksDirectory(dataDirectory()), "cache");

/** Data directory, object store and cache are small disks of their own. */
before(async () => {
  disk = await mountSmallDisk(DISK_BYTES);
  await mkdir(dataDirectory(), { mode: 0o711 });
  for (const [path, bytes] of [
    [objects(), STORE_BYTES],
    [cache(), CACHE_BYTES],
  ] as const) {
    await mkdir(path, { recursive: true, mode: 0o700 });
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=${bytes},mode=700`, "tmpfs", path]);
  }
  node = await openSyncedNode({ ...NODE, dataDirectory: dataDirectory() });
});
afterEach(() => disk.makeRoom());
after(async () => {
  await node[Symbol.asyncDispose]();
  for (const path of [objects(), cache()]) execFileSync("umount", [path]);
  await disk[Symbol.asyncDispose]();
});

/** A workspace with random files, published and closed. `piece`: bytes of the second file, base64. */
async function newWorkspace(name: string) {
  const target = node.newTarget(name);
  const id = await node.sandboxWith(
    { syncTo: target },
    "for n in 1 2 3; do head -c 2000000 /dev/urandom >/root/$n; done",
  );
  const sums = await node.run(id, SUMS);
  const piece = await node.run(id, "head -c 1000000 /root/2 | tail -c 4096 | base64 -w0");
  await node.node.releaseSandbox(id, { reason: "stop" });
  return { target, version: await node.latest(target), sums, piece };
}

const openCopy = (target: SyncTarget, version: WorkspaceVersion): Promise<SandboxId> =>
  node.sandboxWith({ from: refOf(target, version) });

/** Flips a bit, in the object store, of the chunk of a version that has these bytes of some file. */
async function damageChunk(target: SyncTarget, version: WorkspaceVersion, bytes: Buffer): Promise<void> {
  const key = { account: target.accountId, workspace: target.workspaceId };
  const store = await openFileStore(objects());
  const { signal } = node;
  const reader = await openVersion(store, key, { name: version, records: recordsOf(store, key.account), signal });
  for (let index = 0; index < reader.chunkCount; index++) {
    const ref = await reader.chunk(index, { signal });
    if (!ref || !(await reader.read(index * CHUNK_BYTES, CHUNK_BYTES, { signal })).includes(bytes)) continue;
    const name = `accounts/${key.account}/packs/${ref.pack}`;
    const stored = await store.get(name);
    const at = ref.offset + ref.storedBytes / 2;
    stored.bytes.writeUInt8(stored.bytes.readUInt8(at) ^ 1, at);
    await store.put(name, stored.bytes);
    return;
  }
  assert.fail("no chunk has these bytes");
}

describe("a synced workspace", () => {
  it("is read whole when the disk of the cache is full", async () => {
    const { target, version, sums } = await newWorkspace("cached");
    const copy = await openCopy(target, version);
    assert.equal(await node.run(copy, SUMS), sums);
    assert.ok((await statfs(cache())).bavail * 4096 < 128 << 10, "the cache is full");
    await node.node.releaseSandbox(copy, { reason: "test" });
  });

  it("with a damaged chunk is an I/O error to who reads that chunk, and to nobody else", async () => {
    const [mine, other] = [await newWorkspace("damaged"), await newWorkspace("other")];
    await damageChunk(mine.target, mine.version, Buffer.from(mine.piece, "base64"));
    const whole = await openCopy(other.target, other.version);
    const damaged = await openCopy(mine.target, mine.version);
    assert.match(await node.run(damaged, "cat /root/2 2>&1 >/dev/null || true"), /Input\/output error/);
    const told = () => node.of(damaged).filter(({ name }) => name === "workspace_damaged");
    const { data } = await waitFor(() => told()[0], { what: "word of the damage" });
    assert.deepEqual([data.workspaceId, data.version], [mine.target.workspaceId, mine.version.seq]);
    await node.run(damaged, "echo 3 >/proc/sys/vm/drop_caches; cat /root/2 >/dev/null 2>&1 || true");
    assert.equal(told().length, 1);
    const rest = await node.run(damaged, SUMS.replace("-type f", "-type f ! -name 2"));
    assert.equal(rest, mine.sums.replace(/^.*\.\/2\n/m, ""));
    assert.equal(await node.run(whole, SUMS), other.sums);
    for (const one of [damaged, whole]) await node.node.releaseSandbox(one, { reason: "test" });
  });

  it("is published when there is room again in an object store that was full; the guest goes on meanwhile", async () => {
    const target = node.newTarget("full");
    const id = await node.sandboxWith({ syncTo: target }, "head -c 1000000 /dev/urandom >/root/a");
    const first = await node.sync(id);
    const { bavail, bsize } = await statfs(objects());
    const filler = join(objects(), "filler");
    await writeFile(filler, Buffer.alloc(bavail * bsize - (64 << 10)));
    await node.run(id, "head -c 3000000 /dev/urandom >/root/b");
    await assert.rejects(node.sync(id), { code: "disk_full" });
    const failed = node.of(id).find(({ name }) => name === "sync_failed");
    assert.match(String(failed?.data.reason), /full/);
    assert.deepEqual(await node.node.listVersions(target, { signal: node.signal }), [first]);
    const sums = await node.run(id, `echo on >/root/c; ${SUMS}`);
    await rm(filler);
    const second = await node.sync(id);
    assert.equal(second.seq, 2);
    const copy = await openCopy(target, second);
    assert.equal(await node.run(copy, SUMS), sums);
    for (const one of [copy, id]) await node.node.releaseSandbox(one, { reason: "test" });
  });

  it("whose guest waits for room on the host's disk says so to all that ask something of it, loses nothing, and goes on", async () => {
    const noRoom = { code: "disk_full", message: /^the host's disk is full: free some room under \// };
    const target = node.newTarget("waits");
    const id = await node.sandboxWith({ syncTo: target }, "head -c 4M /dev/urandom >/root/old; sync");
    const first = await node.sync(id);
    const boot = await node.run(id, "cat /proc/sys/kernel/random/boot_id");
    await disk.fill();
    // It has that in memory, and nothing of it is on its disk.
    await node.run(id, "cp /root/old /root/new");
    await assert.rejects(node.sync(id), noRoom);
    await waitFor(() => node.seen(id).waitsFor !== null, { what: "the guest to be said to wait", deadlineMs: 60_000 });
    assert.match(node.seen(id).waitsFor ?? "", /the host's disk is full/);
    await assert.rejects(node.sync(id), noRoom);
    assert.match(node.seen(id).sync?.failure ?? "", noRoom.message);
    await assert.rejects(node.run(id, "true"), noRoom);
    await assert.rejects(node.node.releaseSandbox(id, { reason: "stop" }), noRoom);
    await assert.rejects(node.node.sleepSandbox(id, { reason: "requested" }), {
      code: "unavailable",
      message: /could not be put to sleep and runs on: the host's disk is full: free some room under/,
    });
    const told = node.of(id).map(({ name }) => name);
    for (const name of ["host_disk_full", "sync_failed", "sleep_failed"])
      assert.equal(told.filter((one) => one === name).length, 1, name);
    assert.deepEqual(await node.latest(target), first);

    await node.restart();
    await waitFor(() => node.seen(id).waitsFor !== null, {
      what: "the next node to see that it waits",
      deadlineMs: 60_000,
    });
    assert.equal(node.seen(id).state, "running");
    await assert.rejects(node.run(id, "true"), noRoom);
    await assert.rejects(node.sync(id), noRoom);

    await disk.makeRoom();
    assert.equal(await node.run(id, "cmp /root/old /root/new; cat /proc/sys/kernel/random/boot_id"), boot);
    assert.ok((await node.sync(id)).seq > first.seq);
    assert.equal(node.seen(id).sync?.failure, null);

    await node.run(id, "cp /root/old /root/newer");
    await disk.fill();
    await assert.rejects(node.sync(id), noRoom);
    await node.node.releaseSandbox(id, { reason: "stop", discard: true });
    assert.ok(!node.node.observeSandboxes().some(({ sandboxId }) => sandboxId === id));
  });

  it("whose node is killed while its file system is held still: the guest goes on by itself, and is published by the next", async () => {
    const target = node.newTarget("frozen");
    let id = "";
    await node.restart(async () => {
      const program = join(import.meta.dirname, "killed-node.program.ts");
      const options = JSON.stringify({ ...NODE, dataDirectory: dataDirectory() });
      const stdio = ["ignore", "pipe", "inherit"] as const;
      const child = spawn(process.execPath, [program, options, JSON.stringify(target)], { stdio: [...stdio] });
      child.stdout?.on("data", (bytes: Buffer) => {
        id += bytes.toString();
      });
      const [, killedBy] = await once(child, "close");
      const killedAtMs = Date.now();
      assert.equal(killedBy, "SIGKILL");
      // There is no node: nobody but the guest itself can end it, and its disk is written only when that was done.
      const hasGoneOn = async () => (await lastWriteMs(join(dataDirectory(), "sandboxes", id))) > killedAtMs + 1_000;
      await waitFor(hasGoneOn, { what: "the guest to write again", deadlineMs: 60_000, intervalMs: 200 });
    });
    const sandbox = id as SandboxId;
    const beats = (await node.run(sandbox, "cat /root/beats")).trim().split("\n").map(Number);
    const longest = Math.max(...beats.slice(1).map((beat, n) => beat - (beats[n] ?? beat)));
    assert.ok(longest > 5_000 && longest < 20_000, `the guest stood still for ${longest} ms`);
    const { seq } = await node.sync(sandbox);
    assert.ok(seq > 1);
    await node.node.releaseSandbox(sandbox, { reason: "test" });
  });
});

/** When something was last written in a directory's files. */
async function lastWriteMs(directory: string): Promise<number> {
  let last = 0;
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const found = await stat(join(entry.parentPath, entry.name)).catch(() => undefined); // just removed
    last = Math.max(last, found?.mtimeMs ?? 0);
  }
  return last;
}
