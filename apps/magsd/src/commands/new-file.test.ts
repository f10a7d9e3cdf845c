import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { makeTempDir } from "@mags/test-kit";
import { makeNewFile } from "./new-file.ts";

describe("makeNewFile", () => {
  it("says what to do where there is a file, or no folder", async () => {
    await using dir = await makeTempDir();
    await (await makeNewFile(`${dir.path}/disk`)).close();
    await assert.rejects(makeNewFile(`${dir.path}/disk`), /disk is there already: remove it, or name another file$/);
    await assert.rejects(makeNewFile(`${dir.path}/none/disk`), /there is no folder .*\/none: make it/);
  });
});
