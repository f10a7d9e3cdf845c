import assert from "node:assert/strict";
import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { makeTempDir } from "@mags/test-kit";
import { removeUnfinishedWrites, writeFileDurably } from "./files.ts";

describe("removeUnfinishedWrites", () => {
  it("removes what a write that was cut off has left, and nothing else", async () => {
    await using temp = await makeTempDir();
    await writeFileDurably(join(temp.path, "a.json"), "{}");
    await writeFile(join(temp.path, "a.json.01234567.tmp"), "{");
    await writeFile(join(temp.path, "somebody.tmp"), "");
    await removeUnfinishedWrites(temp.path);
    assert.deepEqual((await readdir(temp.path)).toSorted(), ["a.json", "somebody.tmp"]);
  });
});
