import assert from "node:assert/strict";
import { mkdir, readdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { lockFile, silentLogger } from "@mags/core";
import { makeTempDir, type TempDir } from "@mags/test-kit";
import { startCollector } from "./collector.ts";

/** An installation with one release, the object it names and one that nothing names. */
async function install({ path }: TempDir): Promise<() => Promise<string[]>> {
  await mkdir(join(path, "releases/a"), { recursive: true });
  await writeFile(join(path, "releases/a/artifacts.json"), '{"runtime": "/opt/mags/objects/named/root"}');
  for (const name of ["named", "unnamed", ".new.1"])
    await mkdir(join(path, "objects", name, "root"), { recursive: true });
  await symlink("releases/a", join(path, "current"));
  return async () => (await readdir(join(path, "objects"))).toSorted();
}

/** Its first look is over when it has been disposed of. */
async function lookOnce({ path }: TempDir, held: readonly string[] = []): Promise<void> {
  await startCollector(path, { log: silentLogger, held: async () => held })[Symbol.asyncDispose]();
}

describe("startCollector", () => {
  it("removes what the installation does not need", async () => {
    await using temp = await makeTempDir();
    const objects = await install(temp);
    await lookOnce(temp);
    assert.deepEqual(await objects(), ["named"]);
  });

  it("leaves what is held alone", async () => {
    await using temp = await makeTempDir();
    const objects = await install(temp);
    await lookOnce(temp, ["/opt/mags/objects/unnamed/image"]);
    assert.deepEqual(await objects(), ["named", "unnamed"]);
  });

  it("touches nothing while somebody installs", async () => {
    await using temp = await makeTempDir();
    const objects = await install(temp);
    const before = await objects();
    const lock = await lockFile(join(temp.path, ".lock"));
    await lookOnce(temp);
    assert.deepEqual(await objects(), before);
    await lock[Symbol.asyncDispose]();
  });

  it("leaves a folder without an installation alone", async () => {
    await using temp = await makeTempDir();
    await mkdir(join(temp.path, "objects/mine"), { recursive: true });
    await lookOnce(temp);
    assert.deepEqual(await readdir(temp.path), ["objects"]);
  });
});
