import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { rm, stat } from "node:fs/promises";
import { after, before, describe, it } from "node:test";
import { createMemoryStore } from "@mags/object-store";
import { createFaultyStore, createSeededRandom } from "@mags/test-kit";
import { newDisk } from "./disks.ts";
import {
  contentsOf,
  DISK_BYTES,
  exported,
  MIB,
  openTestBench,
  type TestBench,
  type TestServer,
  tool,
  write,
} from "./harness.ts";

const FAST = 2 ** 30;

let bench: TestBench;
let server: TestServer;
const store = createFaultyStore(createMemoryStore(), { random: createSeededRandom(1) });

before(async () => {
  bench = await openTestBench(store);
  server = bench.server;
});
after(() => bench[Symbol.asyncDispose]());

const at = (name: string) => bench.at(name);

/** A version with 4 MiB in three places, and a disk that stands on it, on which something was written. */
async function standing(name: string): Promise<{ readonly disk: string; readonly expected: Buffer }> {
  const workspace = randomUUID();
  await tool("qemu-img", "create", "-q", "-f", "qcow2", at(`${name}-base`), String(DISK_BYTES));
  await write(at(`${name}-base`), "write -P 1 0 2M", "write -P 2 40M 100k", "write -P 3 126M 2M");
  const { version } = await exported(at(`${name}-base`), {}, (source) =>
    server.sync({ workspace, parent: null, source }),
  );
  const { account } = server;
  const { seq, sha256 } = version;
  const socket = at(`${name}-served.sock`);
  await server.ask("serve", { id: name, version: { account, workspace, version: { seq, sha256 } }, socket, uid: 0 });
  const uri = `nbd+unix:///disk?socket=${socket}`;
  const disk = at(name);
  await tool("qemu-img", "create", "-q", "-f", "qcow2", "-b", uri, "-F", "raw", disk);
  await write(disk, "write -P 9 1M 64k", "write -P 9 100M 10k", "write -z 127M 128k", "discard 0 64k");
  return { disk, expected: await contentsOf(disk) };
}

const hydrate = (id: string, disk: string, bytesPerSecond = FAST) =>
  exported(disk, { depths: true }, ({ socket, exportName }) =>
    server.ask("hydrate", { id, source: { socket, exportName }, bytesPerSecond }),
  );

/** The disk as it is with nothing below it. */
async function alone(disk: string): Promise<Buffer> {
  await tool("qemu-img", "rebase", "-u", "-b", "", "-f", "qcow2", disk);
  return contentsOf(disk);
}

describe("hydrate", () => {
  it("copies what the disk does not have yet, and nothing twice", async () => {
    const { disk, expected } = await standing("whole");
    assert.deepEqual(await hydrate("whole", disk), { copiedBytes: 4 * MIB - 2 * 65_536, dataBytes: 4 * MIB + 131_072 });
    assert.equal((await hydrate("whole", disk)).copiedBytes, 0);
    await server.ask("unserve", { id: "whole" });
    assert.ok((await alone(disk)).equals(expected));
    assert.ok((await stat(disk)).size < 6 * MIB, "zeros take no room");
  });

  it("goes on after a store that was away", async () => {
    const { disk, expected } = await standing("patient");
    await server.restart();
    await rm(at("blocks/cache"), { recursive: true });
    store.inject({ kind: "busy", on: /^get / });
    await assert.rejects(hydrate("patient", disk));
    await hydrate("patient", disk);
    await server.ask("unserve", { id: "patient" });
    assert.ok((await alone(disk)).equals(expected));
  });

  it("copies all but what is damaged, and says then that there is damage", async () => {
    const base = await newDisk(server, at(""));
    await write(base.path, "write -P 13 64k 64k");
    await base.sync();
    const lost = store.calls.findLast((call) => call.startsWith("put ") && call.includes("/packs/"))?.slice(4) ?? "";
    await write(base.path, "write -P 14 0 64k", "write -P 15 128k 64k", "write -P 16 100M 64k");
    const version = base.refOf(await base.sync());
    const socket = at("damaged-served.sock");
    await server.ask("serve", { id: "damaged", version, socket, uid: 0 });
    const disk = at("damaged");
    const uri = `nbd+unix:///disk?socket=${socket}`;
    await tool("qemu-img", "create", "-q", "-f", "qcow2", "-b", uri, "-F", "raw", disk);
    await server.restart();
    await rm(at("blocks/cache"), { recursive: true });
    const { bytes } = await store.get(lost);
    await store.delete(lost);
    await assert.rejects(hydrate("damaged", disk), { code: "chunk_corrupt" });
    const told = await server.ask("damages", { heard: 0 });
    assert.deepEqual(
      told.map(({ id, offset, length }) => [id, offset, length]),
      [["damaged", 65_536, 65_536]],
    );
    await store.put(lost, bytes);
    assert.equal((await hydrate("damaged", disk)).copiedBytes, 65_536, "the rest was there");
  });

  it("is refused for what is not served", async () => {
    const source = { socket: at("nowhere.sock"), exportName: "disk" };
    await assert.rejects(server.ask("hydrate", { id: "nobody", source, bytesPerSecond: FAST }), {
      code: "unavailable",
    });
  });
});
