/** Our server and client against QEMU's tools, out of the runtime root. */
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { promisify } from "node:util";
import { ALLOCATION, ALLOCATION_CONTEXT, allExtents, connectNbd, DIRTY, type NbdClient } from "@mags/nbd";
import { type RuntimeRoot, toolCommand } from "@mags/runtime-root";
import { collectAll, createSeededRandom, findArtifacts, makeTempDir, type TempDir, waitFor } from "@mags/test-kit";
import { createDisk } from "./disks.ts";
import { DEADLINE_MS, type Served, serve } from "./harness.ts";

const run = promisify(execFile);
const KIB = 1024;
const BLOCK = 64 * KIB;
const BLOCKS = 80;
const SIZE = BLOCKS * BLOCK;

let root: RuntimeRoot;
let temp: TempDir;
before(async () => {
  const artifacts = findArtifacts();
  root = { dir: artifacts.runtime, launcher: artifacts.launcher };
  temp = await makeTempDir();
});
after(() => temp[Symbol.asyncDispose]());

const at = (name: string) => join(temp.path, name);

async function tool(name: string, ...args: string[]): Promise<string> {
  const { file, args: all } = toolCommand(root, `/usr/bin/${name}`, args);
  return (await run(file, [...all], { timeout: DEADLINE_MS })).stdout;
}

/** A third of the blocks hold something. */
function randomDisk(): Buffer {
  const random = createSeededRandom(1);
  const bytes = Buffer.alloc(SIZE);
  for (let block = 0; block < BLOCKS; block++)
    if (random.chance(0.3)) for (let n = 0; n < BLOCK; n += 8) bytes.writeDoubleBE(random.next(), block * BLOCK + n);
  return bytes;
}

describe("our NBD server", () => {
  const { bytes, source } = createDisk(randomDisk(), BLOCK);
  let served: Served;
  let uri = "";
  before(async () => {
    served = await serve(source);
    uri = `nbd+unix:///disk?socket=${served.path}`;
  });
  after(() => served[Symbol.asyncDispose]());

  it("is copied by qemu-img convert, with its holes", async () => {
    await tool("qemu-img", "convert", "-f", "raw", "-O", "raw", uri, at("copy"));
    assert.ok(readFileSync(at("copy")).equals(bytes));
  });

  it("equals a file with the same bytes for qemu-img compare, and no other", async () => {
    writeFileSync(at("same"), bytes);
    await tool("qemu-img", "compare", "-f", "raw", "-F", "raw", uri, at("same"));
    const other = Buffer.from(bytes);
    other.writeUInt8(other.readUInt8(SIZE - 1) ^ 1, SIZE - 1);
    writeFileSync(at("other"), other);
    await assert.rejects(tool("qemu-img", "compare", "-f", "raw", "-F", "raw", uri, at("other")), {
      code: 1,
      stdout: /mismatch at offset/,
    });
  });

  it("shows qemu-img map where its holes are", async () => {
    const map: { start: number; length: number; data: boolean; zero: boolean }[] = JSON.parse(
      await tool("qemu-img", "map", "--output=json", "-f", "raw", uri),
    );
    const rebuilt = Buffer.alloc(SIZE);
    let end = 0;
    for (const { start, length, data, zero } of map) {
      assert.equal(start, end);
      assert.equal(data, !zero);
      if (data) bytes.copy(rebuilt, start, start, start + length);
      end += length;
    }
    assert.equal(end, SIZE);
    assert.ok(map.length > 10, `${map.length} extents`);
    assert.ok(rebuilt.equals(bytes));
  });

  it("gives qemu-io many reads at once, and lets it write nothing", async () => {
    const block = bytes.findIndex((byte) => byte !== 0);
    const reads = Array.from({ length: 200 }, (_, n) => ["-c", `aio_read -q ${(n * 7919) % (SIZE - 512)} 512`]);
    await tool("qemu-io", "-r", "-f", "raw", ...reads.flat(), "-c", "aio_flush", uri);
    assert.match(
      await tool("qemu-io", "-r", "-f", "raw", "-c", `read -v ${block - (block % 512)} 16`, uri),
      /read 16\/16/,
    );
    await assert.rejects(tool("qemu-io", "-f", "raw", "-c", "write 0 512", uri), /Permission denied/);
  });

  it("is listed by qemu-nbd, with what it offers", async () => {
    const listing = await tool("qemu-nbd", "--list", "--socket", served.path);
    assert.match(
      listing,
      /exports available: 1\n export: 'disk'\n {2}size: {2}5242880\n {2}flags: .*readonly df multi/,
    );
    assert.match(listing, /min block: 1\n {2}opt block: 65536\n {2}max block: 4194304/);
    assert.match(listing, /available meta contexts: 1\n {3}base:allocation/);
  });

  it("serves several clients at once", async () => {
    const copies = [0, 1, 2, 3].map((n) => at(`copy-${n}`));
    await Promise.all(copies.map((copy) => tool("qemu-img", "convert", "-f", "raw", "-O", "raw", uri, copy)));
    for (const copy of copies) assert.ok(readFileSync(copy).equals(bytes));
  });
});

describe("our NBD client", () => {
  const BITMAP = "qemu:dirty-bitmap:since";
  /** What was written before and after the bitmap was made: block → byte. */
  const early = new Map([3, 4, 10, 40, 79].map((block) => [block, block + 1]));
  const late = new Map([0, 4, 5, 77].map((block) => [block, block + 100]));

  const writes = (blocks: ReadonlyMap<number, number>) =>
    [...blocks].flatMap(([block, byte]) => ["-c", `write -q -P ${byte} ${block * BLOCK} ${BLOCK}`]);

  before(async () => {
    await tool("qemu-img", "create", "-q", "-f", "qcow2", at("disk"), String(SIZE));
    await tool("qemu-io", "-f", "qcow2", ...writes(early), at("disk"));
    await tool("qemu-img", "bitmap", "-f", "qcow2", "--add", "-g", String(BLOCK), at("disk"), "since");
    await tool("qemu-io", "-f", "qcow2", ...writes(late), at("disk"));
  });

  async function serveByQemu(): Promise<{ readonly client: NbdClient } & AsyncDisposable> {
    const socket = at("qemu-nbd.sock");
    const options = ["--read-only", "--persistent", "--shared=2", "--bitmap=since", "--export-name=disk"];
    const { file, args } = toolCommand(root, "/usr/bin/qemu-nbd", [
      ...options,
      "-f",
      "qcow2",
      "-k",
      socket,
      at("disk"),
    ]);
    const server = spawn(file, [...args], { stdio: ["ignore", "ignore", "inherit"] });
    const gone = once(server, "exit");
    await using scope = new AsyncDisposableStack();
    scope.defer(async () => {
      server.kill();
      await gone;
    });
    await waitFor(() => existsSync(socket), { what: "qemu-nbd's socket", deadlineMs: DEADLINE_MS });
    const signal = AbortSignal.timeout(DEADLINE_MS);
    const contexts = [ALLOCATION_CONTEXT, BITMAP, "qemu:dirty-bitmap:none"];
    const client = scope.use(await connectNbd(socket, { exportName: "disk", contexts, signal }));
    const owned = scope.move();
    return { client, [Symbol.asyncDispose]: () => owned.disposeAsync() };
  }

  it("reads what qemu-nbd serves, and learns what is allocated and what is dirty", async () => {
    await using served = await serveByQemu();
    const { client } = served;
    assert.equal(client.sizeBytes, SIZE);
    assert.equal(client.readOnly, true);
    assert.deepEqual(client.contexts, [ALLOCATION_CONTEXT, BITMAP]);

    const expected = Buffer.alloc(SIZE);
    for (const [block, byte] of [...early, ...late]) expected.fill(byte, block * BLOCK, (block + 1) * BLOCK);
    const pieces = await Promise.all(
      Array.from({ length: BLOCKS / 4 }, (_, n) => client.read(n * 4 * BLOCK, 4 * BLOCK)),
    );
    assert.ok(Buffer.concat(pieces).equals(expected));

    const blocksOf = async (context: string, wanted: (flags: number) => boolean) => {
      const extents = await collectAll(allExtents(client, { context }));
      return extents
        .filter(({ flags }) => wanted(flags))
        .flatMap(({ offset, length }) => Array.from({ length: length / BLOCK }, (_, n) => offset / BLOCK + n));
    };
    const written = [...new Set([...early.keys(), ...late.keys()])].toSorted((a, b) => a - b);
    assert.deepEqual(await blocksOf(ALLOCATION_CONTEXT, (flags) => (flags & ALLOCATION.zero) === 0), written);
    assert.deepEqual(
      await blocksOf(BITMAP, (flags) => (flags & DIRTY) !== 0),
      [...late.keys()].toSorted((a, b) => a - b),
    );
  });

  it("says goodbye to qemu-nbd, and is told of its end", async () => {
    await using served = await serveByQemu();
    await served.client.disconnect();
    assert.equal(await served.client.closed, null);
  });
});
