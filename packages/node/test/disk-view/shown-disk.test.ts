import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { ALLOCATION, ALLOCATION_CONTEXT, allExtents, connectNbd, DEPTH_CONTEXT, type NbdClient } from "@mags/nbd";
import { type RuntimeRoot, toolCommand } from "@mags/runtime-root";
import { findArtifacts, makeTempDir, type TempDir, waitFor } from "@mags/test-kit";
import { readBlockGraph } from "../../src/qemu/disk-view/block-graph.ts";
import { changedBytes } from "../../src/qemu/disk-view/changed-bytes.ts";
import { detachBase } from "../../src/qemu/disk-view/detach-base.ts";
import { openDiskView, trackChanges } from "../../src/qemu/disk-view/disk-view.ts";
import { settleDisk } from "../../src/qemu/disk-view/settle.ts";
import { type ShownDisk, showDisk } from "../../src/qemu/disk-view/shown-disk.ts";
import { type BareQemu, startBareQemu } from "./bare-qemu.ts";
import { BLOCK, changedBlocks } from "./model-disk.ts";
import { readView } from "./read-view.ts";

const BLOCKS = 32;
const SIZE = BLOCKS * BLOCK;
const DEADLINE_MS = 60_000;

const artifacts = findArtifacts();
const runtime: RuntimeRoot = { dir: artifacts.runtime, launcher: artifacts.launcher };
let temp: TempDir;
let qemu: BareQemu;
/** Serves a base whose blocks 0 to 9 hold their number and 1. */
let endBase: () => Promise<void>;
const at = (name: string) => join(temp.path, name);

function tool(name: string, ...args: string[]): string {
  const { file, args: all } = toolCommand(runtime, `/usr/bin/${name}`, args);
  return execFileSync(file, all, { timeout: DEADLINE_MS }).toString();
}

async function serveBase(): Promise<() => Promise<void>> {
  tool("qemu-img", "create", "-q", "-f", "qcow2", at("base"), String(SIZE));
  const writes = Array.from({ length: 10 }, (_, n) => ["-c", `write -q -P ${n + 1} ${n * BLOCK} ${BLOCK}`]).flat();
  tool("qemu-io", "-f", "qcow2", ...writes, at("base"));
  const { file, args } = toolCommand(runtime, "/usr/bin/qemu-nbd", [
    ...["-f", "qcow2", "-r", "-t", "-k", at("base.sock"), "-x", "disk", at("base")],
  ]);
  const server = spawn(file, [...args], { stdio: "ignore" });
  const gone = once(server, "exit");
  await waitFor(() => existsSync(at("base.sock")), { what: "the base" });
  return async () => {
    server.kill("SIGKILL");
    await gone;
  };
}

beforeEach(async () => {
  temp = await makeTempDir();
  endBase = await serveBase();
  tool("qemu-img", "create", "-q", "-f", "qcow2", at("disk.qcow2"), String(SIZE));
  const server = `backing.driver=nbd,backing.server.type=unix,backing.server.path=${at("base.sock")}`;
  const base = `${server},backing.export=disk,backing.read-only=on,backing.reconnect-delay=1000,backing.node-name=disk1-base`;
  qemu = await startBareQemu(runtime, temp.path, base);
});
afterEach(async () => {
  await qemu[Symbol.asyncDispose]();
  await endBase();
  await temp[Symbol.asyncDispose]();
});

const deps = () => ({ qmp: qemu.qmp, runtime, place: qemu.place });
const clientOf = ({ source }: ShownDisk): Promise<NbdClient> =>
  connectNbd(source.socket, {
    exportName: source.exportName,
    contexts: [DEPTH_CONTEXT],
    signal: AbortSignal.timeout(DEADLINE_MS),
  });

/** The disk's own blocks. */
async function ownBlocks(client: NbdClient): Promise<number[]> {
  const own: number[] = [];
  for await (const { offset, length, flags } of allExtents(client, { context: DEPTH_CONTEXT }))
    if (flags === 1) for (let at = offset; at < offset + length; at += BLOCK) own.push(at / BLOCK);
  return own;
}

/** Reads through the slot, as the guest does. */
async function holds(block: number, byte: number): Promise<void> {
  await using view = await readView(
    await openDiskView({ ...deps() }, { sizeBytes: SIZE, since: null, next: "1" }),
    null,
  );
  assert.ok((await view.client.read(block * BLOCK, BLOCK)).equals(Buffer.alloc(BLOCK, byte)), `block ${block}`);
}

describe("showDisk", () => {
  it("has the base copied to the disk, which is no change of it and overwrites nothing", async () => {
    await trackChanges(qemu.qmp, "0");
    await qemu.write(3 * BLOCK, BLOCK, 99);
    {
      await using shown = await showDisk(deps());
      await using client = await clientOf(shown);
      assert.deepEqual(await ownBlocks(client), [3]);
      await client.cache(0, 6 * BLOCK);
      await qemu.write(5 * BLOCK, BLOCK, 77);
      await client.flush();
      assert.deepEqual(await ownBlocks(client), [0, 1, 2, 3, 4, 5]);
    }
    await using view = await readView(await openDiskView(deps(), { sizeBytes: SIZE, since: "0", next: "1" }), "0");
    assert.deepEqual(await changedBlocks(view), [3, 5]);
    for (const [block, byte] of [1, 2, 3, 99, 5, 77, 7].entries())
      assert.ok((await view.client.read(block * BLOCK, BLOCK)).equals(Buffer.alloc(BLOCK, byte)), `block ${block}`);
  });

  it("copies nothing over what was discarded, which is a change of the disk and reads as zeros", async () => {
    await trackChanges(qemu.qmp, "0");
    await qemu.write(3 * BLOCK, BLOCK, 99);
    await qemu.discard(2 * BLOCK, 3 * BLOCK);
    {
      await using shown = await showDisk(deps());
      await using client = await clientOf(shown);
      assert.deepEqual(await ownBlocks(client), [2, 3, 4]);
      await client.cache(0, 6 * BLOCK);
      await qemu.discard(5 * BLOCK, BLOCK);
      await client.cache(5 * BLOCK, BLOCK);
      await client.flush();
    }
    assert.equal(await changedBytes(qemu.qmp, "0"), 4 * BLOCK);
    await using view = await readView(await openDiskView(deps(), { sizeBytes: SIZE, since: "0", next: "1" }), "0");
    assert.deepEqual(await changedBlocks(view), [2, 3, 4, 5]);
    const [zeros] = await view.client.blockStatus(2 * BLOCK, 3 * BLOCK, { context: ALLOCATION_CONTEXT });
    assert.deepEqual([zeros?.length, (zeros?.flags ?? 0) & ALLOCATION.zero], [3 * BLOCK, ALLOCATION.zero]);
    for (const [block, byte] of [1, 2, 0, 0, 0, 0, 7].entries())
      assert.ok((await view.client.read(block * BLOCK, BLOCK)).equals(Buffer.alloc(BLOCK, byte)), `block ${block}`);
    await view.finish({ published: true });
    await qemu.discard(0, SIZE);
    const changed = await changedBytes(qemu.qmp, "1");
    assert.ok(changed !== null && changed < SIZE, `${changed}: there is not so much of it`);
  });

  it("is settled when the server that began it is gone", async () => {
    await trackChanges(qemu.qmp, "0");
    const shown = await showDisk(deps());
    await using client = await clientOf(shown);
    await client.cache(0, BLOCK);
    const qmp = await qemu.connectAgain();
    assert.deepEqual(await settleDisk(qmp, qemu.place, { since: "0" }), { tracked: true });
    assert.equal(existsSync(qemu.place.socket), false);
    await using again = await showDisk(deps());
    await using other = await clientOf(again);
    assert.deepEqual(await ownBlocks(other), [0]);
  });
});

describe("detachBase", () => {
  it("has the disk hold the same without its base, now and when it is opened again", async () => {
    {
      await using shown = await showDisk(deps());
      await using client = await clientOf(shown);
      await client.cache(0, 10 * BLOCK);
      await client.flush();
    }
    await detachBase(qemu.qmp);
    await detachBase(qemu.qmp);
    assert.ok(!(await readBlockGraph(qemu.qmp)).nodes.has("disk1-base"));
    await endBase();
    await qemu.write(9 * BLOCK, BLOCK, 55);
    await holds(8, 9);
    await holds(9, 55);
    await holds(20, 0);
    await qemu.quit();
    qemu = await startBareQemu(runtime, temp.path);
    await holds(8, 9);
    await holds(9, 55);
    await holds(31, 0);
  });

  it("has what was discarded read as zeros, whenever that was", async () => {
    await qemu.discard(2 * BLOCK, BLOCK);
    {
      await using shown = await showDisk(deps());
      await using client = await clientOf(shown);
      await client.cache(0, 10 * BLOCK);
      await client.flush();
    }
    await qemu.discard(3 * BLOCK, BLOCK);
    await detachBase(qemu.qmp);
    await qemu.discard(4 * BLOCK, BLOCK);
    const zeros = async () => {
      for (const block of [2, 3, 4]) await holds(block, 0);
      await holds(5, 6);
    };
    await zeros();
    await qemu.quit();
    qemu = await startBareQemu(runtime, temp.path);
    await zeros();
  });

  it("does so while the base is away", async () => {
    await endBase();
    await detachBase(qemu.qmp);
    await holds(0, 0);
  });
});
