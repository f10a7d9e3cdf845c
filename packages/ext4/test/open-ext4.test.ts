import assert from "node:assert/strict";
import { link, mkdir, open, readdir, readFile, readlink, stat, symlink, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { createSeededRandom, debugfs, makeExt4Image, makeTempDir, type SeededRandom, seedFrom } from "@mags/test-kit";
import { openExt4 } from "../src/index.ts";
import { contentOf, digestOf, inodeAt, memorySource, openImage, signal, sourceOf, treeOf } from "./harness.ts";

/** A folder with files of all sizes, holes, links, long and odd names. */
async function randomTree(random: SeededRandom, root: string): Promise<void> {
  const folders = [root];
  const files: string[] = [];
  for (let n = random.between(5, 60); n > 0; n--) {
    const name = random.pick(["a", "ü", "space here", "x".repeat(random.between(1, 200))]) + n;
    const path = join(random.pick(folders), name);
    if (path.length > 3_000) continue;
    switch (random.between(0, 4)) {
      case 0:
        await mkdir(path);
        folders.push(path);
        break;
      case 1:
        await symlink("t".repeat(random.pick([1, 59, 60, 61, 900])), path);
        break;
      case 2:
        if (files.length > 0) await link(random.pick(files), path);
        break;
      default: {
        await using file = await open(path, "w", random.pick([0o600, 0o755, 0o4711]));
        for (let parts = random.between(0, 5); parts > 0; parts--)
          await file.write(random.bytes(random.pick([1, 4095, 9_000])), 0, null, random.between(0, 3_000_000));
        files.push(path);
      }
    }
  }
}

describe("openExt4", () => {
  it("reads trees as they were put in", async () => {
    const seed = seedFrom(process.env.MAGS_SEED);
    const random = createSeededRandom(seed);
    for (const blockBytes of [1024, 4096, 4096]) {
      await using dir = await makeTempDir();
      const from = `${dir.path}/from`;
      await mkdir(from);
      await randomTree(random, from);
      await makeExt4Image(`${dir.path}/img`, { sizeMiB: 32, from, blockBytes });
      const disk = await openImage(`${dir.path}/img`);
      const tree = await treeOf(disk);
      tree.delete("lost+found");
      const expected = await readdir(from, { recursive: true, withFileTypes: true });
      assert.deepEqual(
        [...tree.keys()].toSorted(),
        expected
          .map((one) => Buffer.from(join(one.parentPath, one.name).slice(from.length + 1)).toString("latin1"))
          .toSorted(),
        `seed ${seed}`,
      );
      for (const one of expected) {
        const path = join(one.parentPath, one.name);
        const inode = tree.get(Buffer.from(path.slice(from.length + 1)).toString("latin1"));
        assert.ok(inode);
        if (one.isSymbolicLink()) {
          assert.equal(await disk.readLink(inode, { signal }), await readlink(path));
          continue;
        }
        const { mode, uid, gid, nlink, size } = await stat(path);
        const { mtimeNs } = await stat(path, { bigint: true });
        assert.deepEqual([inode.mode, inode.uid, inode.gid], [mode & 0o7777, uid, gid], `seed ${seed} ${path}`);
        assert.equal(inode.mtimeNs / 1_000_000_000n, mtimeNs / 1_000_000_000n);
        if (!one.isFile()) continue;
        assert.deepEqual([inode.sizeBytes, inode.links], [size, nlink], `seed ${seed} ${path}`);
        assert.equal(digestOf(await contentOf(disk, inode)), digestOf(await readFile(path)), `seed ${seed} ${path}`);
      }
    }
  });

  it("reads devices, attributes, large ids, times before 1970 and beyond 2038 with nanoseconds", async () => {
    await using dir = await makeTempDir();
    const image = `${dir.path}/img`;
    await writeFile(`${dir.path}/value`, "v".repeat(3_000));
    await makeExt4Image(image, { sizeMiB: 32 });
    await debugfs(
      image,
      "mknod gone c 0 0",
      "mknod null c 1 3",
      "mknod big b 259 60000",
      "mknod pipe p",
      "ea_set null user.small value",
      `ea_set -f ${dir.path}/value null user.large`,
      "ea_set null trusted.overlay.opaque y",
      "sif null uid 70000",
      "sif null gid 4000000000",
      "sif null mtime @0xfffffffe",
      "sif null mtime_extra 4",
      "sif big mtime @0x10",
      "sif big mtime_extra 0xee6b27fd",
    );
    const disk = await openImage(image);
    const tree = await treeOf(disk);
    const kinds = ["gone", "null", "big", "pipe"].map((name) => {
      const inode = tree.get(name);
      return [inode?.type, inode?.device.major, inode?.device.minor];
    });
    assert.deepEqual(kinds, [
      ["character", 0, 0],
      ["character", 1, 3],
      ["block", 259, 60000],
      ["fifo", 0, 0],
    ]);
    const nothing = tree.get("null");
    assert.ok(nothing);
    assert.deepEqual([nothing.uid, nothing.gid], [70_000, 4_000_000_000]);
    assert.equal(nothing.mtimeNs, -1_999_999_999n);
    assert.equal(tree.get("big")?.mtimeNs, (2n ** 32n + 16n) * 1_000_000_000n + 999_999_999n);
    const attributes = await disk.attributes(nothing, { signal });
    assert.deepEqual([...attributes].map(([name, value]) => [name, value.length]).toSorted(), [
      ["trusted.overlay.opaque", 1],
      ["user.large", 3_000],
      ["user.small", 5],
    ]);
  });

  it("reads large folders, trees of many extents, and blocks that were never written", async () => {
    await using dir = await makeTempDir();
    const from = `${dir.path}/from`;
    await mkdir(`${from}/many`, { recursive: true });
    const names = Array.from({ length: 800 }, (_, n) => `${"n".repeat(50)}${n}`);
    for (const name of names) await writeFile(`${from}/many/${name}`, "");
    const file = await open(`${from}/holes`, "w");
    for (let n = 0; n < 500; n++) await file.write(`${n} `, n * 8_192);
    await file.close();
    await truncate(`${from}/holes`, 10_000_000);
    const image = `${dir.path}/img`;
    await makeExt4Image(image, { sizeMiB: 64, from, blockBytes: 1024 });
    await debugfs(
      image,
      "mknod reserved p",
      "rm reserved",
      `write ${from}/holes reserved`,
      "fallocate reserved 0 2000",
    );
    const disk = await openImage(image);
    const tree = await treeOf(disk);
    assert.deepEqual([...tree.keys()].filter((path) => path.startsWith("many/")).length, names.length);
    const original = digestOf(await readFile(`${from}/holes`));
    for (const path of ["holes", "reserved"])
      assert.equal(digestOf(await contentOf(disk, await inodeAt(disk, path))), original, path);
  });

  it("reads a file system whose descriptors lie among its groups, as after much growth", async () => {
    await using dir = await makeTempDir();
    const image = `${dir.path}/img`;
    const options = { sizeMiB: 400, blockBytes: 1024, features: "meta_bg,^resize_inode", inodes: 1_000 };
    await makeExt4Image(image, options);
    await debugfs(image, ...Array.from({ length: 600 }, (_, n) => `mkdir folder${n}`));
    await using file = await open(image);
    const tree = await treeOf(await openExt4(await sourceOf(file), { signal }));
    assert.equal(tree.size, 601);
    const inodesPerGroup = (await readFile(image)).readUInt32LE(1024 + 0x28);
    const last = Math.max(...[...tree.values()].map(({ number }) => Math.floor(number / inodesPerGroup)));
    assert.ok(last > 20, `folders lie in many groups: ${last}`);
  });

  it("refuses what it does not understand, and says so", async () => {
    await using dir = await makeTempDir();
    const image = `${dir.path}/img`;
    const refused = async (features: string, text: RegExp) => {
      await makeExt4Image(image, { sizeMiB: 8, features });
      await assert.rejects(openImage(image), { code: "not_supported", message: text });
    };
    await refused("inline_data", /inline_data, which is not read here: export the disk image/);
    await refused("ea_inode", /ea_inode/);
    await refused("^extent,^64bit", /without extents/);
    await assert.rejects(openExt4(memorySource(Buffer.alloc(1 << 20)), { signal }), {
      code: "validation_failed",
      message: /no ext4 superblock/,
    });
    await makeExt4Image(image, { sizeMiB: 8 });
    const cut = (await readFile(image)).subarray(0, 4 << 20);
    await assert.rejects(openExt4(memorySource(cut), { signal }), /the disk only 4194304 bytes/);
  });
});
