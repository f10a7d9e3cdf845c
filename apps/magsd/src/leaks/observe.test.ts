import assert from "node:assert/strict";
import { mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { lockFile } from "@mags/core";
import { makeTempDir } from "@mags/test-kit";
import { installedTraces } from "./observe.ts";

describe("installedTraces", () => {
  it("takes what has no owner in an installation for a trace, but not while somebody installs", async () => {
    await using temp = await makeTempDir();
    for (const folder of ["releases/a", "objects/unnamed", "objects/.new.1"])
      await mkdir(join(temp.path, folder), { recursive: true });
    await writeFile(join(temp.path, "releases/a/artifacts.json"), "{}");
    await symlink("releases/a", join(temp.path, "current"));
    const names = async () =>
      (await installedTraces(temp.path, [])).map(({ name }) => name.slice(temp.path.length + 1));
    assert.deepEqual(await names(), ["objects/.new.1", "objects/unnamed"]);
    const lock = await lockFile(join(temp.path, ".lock"));
    assert.deepEqual(await names(), []);
    await lock[Symbol.asyncDispose]();
    assert.deepEqual(await names(), ["objects/.new.1", "objects/unnamed"]);
  });
});
