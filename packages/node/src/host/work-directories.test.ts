import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdir, readdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { makeTempDir } from "@mags/test-kit";
import { openWorkDirectories } from "./work-directories.ts";

describe("openWorkDirectories", () => {
  it("removes what an earlier process left, and later what was not moved away", async () => {
    await using temp = await makeTempDir();
    const root = join(temp.path, "work");
    await mkdir(join(root, "disk-1/deep"), { recursive: true });
    const work = await openWorkDirectories(root);
    assert.deepEqual(await readdir(root), []);
    {
      await using made = await work.create("disk");
      assert.deepEqual(await readdir(root), work.list());
      await writeFile(join(made.path, "half"), "x");
    }
    assert.deepEqual([await readdir(root), work.list()], [[], []]);
  });

  it("lets a directory be moved to its place as a whole", async () => {
    await using temp = await makeTempDir();
    const work = await openWorkDirectories(join(temp.path, "work"));
    const place = join(temp.path, "place");
    {
      await using made = await work.create("template");
      await writeFile(join(made.path, "file"), "x");
      await rename(made.path, place);
    }
    assert.ok(existsSync(join(place, "file")));
    assert.deepEqual(work.list(), []);
  });

  it("removes a tree, and one that is not there", async () => {
    await using temp = await makeTempDir();
    const work = await openWorkDirectories(join(temp.path, "work"));
    const tree = join(temp.path, "tree");
    await mkdir(join(tree, "deep"), { recursive: true });
    await work.remove(tree);
    await work.remove(tree);
    assert.deepEqual(await readdir(temp.path), ["work"]);
    assert.deepEqual(await readdir(join(temp.path, "work")), []);
  });
});
