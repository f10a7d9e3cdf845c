import assert from "node:assert/strict";
import { mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { describe, it } from "node:test";
import { isAppError } from "@mags/core";
import { collectAll, createSeededRandom, debugfs, makeExt4Image, makeTempDir, seedFrom } from "@mags/test-kit";
import { openExt4, ROOT_INODE } from "../src/index.ts";
import { inodeAt, memorySource, signal } from "./harness.ts";
import { longJournal } from "./long-journal.ts";

const ROUNDS = 250;
/** Far more than the honest image has. */
const MAX_STEPS = 20_000;

/** Reads all there is, as a user of the package would: each folder once. */
async function readAll(image: Buffer): Promise<number> {
  let steps = 0;
  const step = () => {
    if (++steps > MAX_STEPS) throw new Error("it does not end");
  };
  const disk = await openExt4(memorySource(image), { signal });
  const seen = new Set<number>([ROOT_INODE]);
  const waiting = [ROOT_INODE];
  for (let number = waiting.pop(); number !== undefined; number = waiting.pop()) {
    const folder = await disk.inode(number, { signal });
    for await (const { inode } of disk.entries(folder, { signal })) {
      step();
      const child = await disk.inode(inode, { signal });
      await disk.attributes(child, { signal });
      if (child.type === "symlink") await disk.readLink(child, { signal });
      if (child.type === "file")
        for await (const { at, length } of disk.regions(child, { signal })) {
          step();
          await disk.read(at, Math.min(length, 4_096), { signal });
        }
      if (child.type !== "directory" || seen.has(inode)) continue;
      seen.add(inode);
      waiting.push(inode);
    }
  }
  return steps;
}

describe("hostile images", () => {
  it("are read to an end or refused, whatever was changed in them", async (t) => {
    const seed = seedFrom(process.env.MAGS_SEED);
    const random = createSeededRandom(seed);
    await using dir = await makeTempDir();
    const from = `${dir.path}/from`;
    await mkdir(`${from}/a/b`, { recursive: true });
    await writeFile(`${from}/a/file`, random.bytes(2_000));
    await symlink("t".repeat(200), `${from}/a/b/link`);
    const image = `${dir.path}/img`;
    await makeExt4Image(image, { sizeMiB: 8, from, blockBytes: 1024 });
    await writeFile(`${dir.path}/value`, "v".repeat(600));
    await debugfs(image, `ea_set -f ${dir.path}/value a user.x`, "ea_set a/file user.y z");
    // One block with content is logged as it is, so that a journal is there to be read.
    await debugfs(image, "jo -c", `jw -b 7000 ${from}/a/file`, "jc");
    const original = await readFile(image);
    const honest = await readAll(original);
    assert.ok(honest >= 6);
    // Words that are not zero, by blocks: there lies what is read.
    const words = [...Array(original.length / 1024).keys()]
      .map((block) =>
        [...Array(256).keys()].map((n) => block * 1024 + n * 4).filter((at) => original.readUInt32LE(at) !== 0),
      )
      .filter((block) => block.length > 0);
    const reasons = new Set<string>();
    for (let round = 0; round < ROUNDS; round++) {
      const bytes = Buffer.from(original);
      for (let n = random.between(1, 6); n > 0; n--) {
        const at = random.pick(random.pick(words));
        const value = random.pick([
          0,
          1,
          2,
          11,
          12,
          0xff,
          0xffff,
          0xffffffff,
          0x80000000,
          random.between(0, 2 ** 32 - 1),
        ]);
        if (random.chance(0.5)) bytes.writeUInt32LE(value, at);
        else bytes.writeUInt8(value & 0xff, at + random.between(0, 3));
      }
      try {
        await readAll(bytes);
      } catch (error) {
        if (!isAppError(error, "validation_failed") && !isAppError(error, "not_supported"))
          throw new Error(`seed ${seed}, round ${round}`, { cause: error });
        reasons.add(error.message.replaceAll(/\d+/g, "N"));
      }
    }
    t.diagnostic(`seed ${seed}: ${reasons.size} kinds of refusals`);
    assert.ok(reasons.size > 6, [...reasons].join("\n"));
  });

  it("whose extents lead in a circle are refused", async () => {
    await using dir = await makeTempDir();
    const image = `${dir.path}/img`;
    await makeExt4Image(image, { sizeMiB: 8, blockBytes: 1024 });
    await writeFile(`${dir.path}/content`, Buffer.alloc(3_000, 1));
    await debugfs(image, `write ${dir.path}/content file`);
    const bytes = await readFile(image);
    const disk = await openExt4(memorySource(bytes), { signal });
    let inode: Awaited<ReturnType<typeof disk.inode>> | undefined;
    for await (const entry of disk.entries(await disk.inode(ROOT_INODE, { signal }), { signal }))
      if (entry.name === "file") inode = await disk.inode(entry.inode, { signal });
    assert.ok(inode);
    const at = bytes.indexOf(inode.raw);
    const [region] = await collectAll(disk.regions(inode, { signal }));
    assert.ok(region);
    // The root of two levels has one node, the file's first block, which names itself.
    const node = Buffer.alloc(24);
    node.writeUInt16LE(0xf30a, 0);
    node.writeUInt16LE(1, 2);
    node.writeUInt16LE(2, 6);
    node.writeUInt32LE(region.at / 1024, 16);
    node.copy(bytes, at + 0x28);
    node.copy(bytes, region.at);
    const hostile = await openExt4(memorySource(bytes), { signal });
    const changed = await hostile.inode(inode.number, { signal });
    await assert.rejects(collectAll(hostile.regions(changed, { signal })), /are no tree/);
  });

  it("whose folders repeat blocks of free entries, or whose extents lie in empty nodes, give way to others", async () => {
    const BLOCK = 1024;
    await using dir = await makeTempDir();
    const image = `${dir.path}/img`;
    await makeExt4Image(image, { sizeMiB: 8, blockBytes: BLOCK });
    const free = Buffer.alloc(BLOCK);
    for (let at = 0; at < BLOCK; at += 8) free.writeUInt16LE(8, at + 4);
    await writeFile(`${dir.path}/content`, Buffer.concat(Array.from({ length: 1_000 }, () => free)));
    await debugfs(image, `write ${dir.path}/content folder`, `sif folder mode 040755`);
    const bytes = await readFile(image);
    const found = await inodeAt(await openExt4(memorySource(bytes), { signal }), "folder");
    const at = bytes.indexOf(found.raw);
    const first = bytes.indexOf(free) / BLOCK;
    const extents = (depth: number, entries: readonly { logical: number; count?: number; block: number }[]) => {
      const node = Buffer.alloc(BLOCK);
      node.writeUInt16LE(0xf30a, 0);
      node.writeUInt16LE(entries.length, 2);
      node.writeUInt16LE(depth, 6);
      for (const [i, { logical, count, block }] of entries.entries()) {
        node.writeUInt32LE(logical, 12 + i * 12);
        if (count === undefined) node.writeUInt32LE(block, 16 + i * 12);
        else {
          node.writeUInt16LE(count, 16 + i * 12);
          node.writeUInt32LE(block, 20 + i * 12);
        }
      }
      return node;
    };

    /** @param blocks  What is written over the first blocks of the folder. */
    async function isGivenUp(root: Buffer, blocks: readonly Buffer[] = []): Promise<void> {
      const changed = Buffer.from(bytes);
      root.copy(changed, at + 0x28, 0, 60);
      changed.writeUInt32LE(4_000 * BLOCK, at + 4);
      for (const [i, block] of blocks.entries()) block.copy(changed, (first + i) * BLOCK);
      const disk = await openExt4(memorySource(changed), { signal });
      const folder = await disk.inode(found.number, { signal });
      assert.deepEqual(await collectAll(disk.entries(folder, { signal })), []);
      const ending = new AbortController();
      const reason = new Error("not wanted any more");
      setImmediate(() => ending.abort(reason));
      await assert.rejects(collectAll(disk.entries(folder, { signal: ending.signal })), reason);
    }

    const parts = [0, 1, 2, 3].map((i) => ({ logical: i * 1_000, count: 1_000, block: first }));
    await isGivenUp(extents(0, parts));
    const many = (block: number) => Array.from({ length: 84 }, (_, i) => ({ logical: i, block }));
    await isGivenUp(extents(2, [{ logical: 0, block: first }]), [extents(1, many(first + 1)), extents(0, [])]);
  });

  it("whose journal is long give way to others while it is read, and are given up when that is asked for", async () => {
    const ending = new AbortController();
    const reason = new Error("not wanted any more");
    setImmediate(() => ending.abort(reason));
    await assert.rejects(openExt4(longJournal(6_000), { signal: ending.signal }), reason);
    await openExt4(longJournal(6_000), { signal });
  });

  it("whose journal repeats itself for longer than any journal is are refused", async () => {
    await assert.rejects(openExt4(longJournal(10_000), { signal }), {
      code: "not_supported",
      message: /more than 262144 blocks of changes in its journal: .*fsck/,
    });
  });
});
