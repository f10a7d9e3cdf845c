import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { copyFile, mkdir, symlink, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { makeTempDir } from "@mags/test-kit";
import { type InstalledParts, mountedObjects, readInstalledParts, unneededParts } from "./unneeded-parts.ts";

const parts: InstalledParts = {
  releases: [
    { name: "third", objects: ["runtime-3", "image-2"] },
    { name: "second", objects: ["runtime-2", "image-2"] },
    { name: "first", objects: ["runtime-1", "image-1"] },
  ],
  current: "third",
  objects: ["runtime-1", "runtime-2", "runtime-3", "image-1", "image-2"],
  unfinished: [],
  releasesInUse: new Set(),
  objectsInUse: new Set(),
};

describe("unneededParts", () => {
  const cases: readonly [string, Partial<InstalledParts>, readonly string[]][] = [
    [
      "keeps the current and the previous release and what they name",
      {},
      ["releases/first", "objects/runtime-1", "objects/image-1"],
    ],
    [
      "keeps the object a microVM of an older release runs from",
      { objectsInUse: new Set(["runtime-1"]) },
      ["releases/first", "objects/image-1"],
    ],
    ["keeps a release whose program runs, and its objects", { releasesInUse: new Set(["first"]) }, []],
    [
      "knows the way back after one was taken",
      { current: "second" },
      ["releases/first", "objects/runtime-1", "objects/image-1"],
    ],
    [
      "removes what an installation that was cut short has left",
      { unfinished: ["objects/.new.1"], releases: parts.releases.slice(0, 2), objects: [] },
      ["objects/.new.1"],
    ],
  ];
  for (const [what, change, unneeded] of cases)
    it(what, () => assert.deepEqual(unneededParts({ ...parts, ...change }), unneeded));
});

describe("mountedObjects", () => {
  it("finds them wherever the installation's file system is mounted", () => {
    const text = [
      "620 480 254:0 /opt/mags/objects/runtime-1/root / ro,nosuid - ext4 /dev/vda rw",
      "621 620 254:0 /mags/objects/image-1 /image ro - ext4 /dev/vda rw",
      "622 620 0:50 / /dev rw - tmpfs tmpfs rw",
      "623 620 254:0 /opt/mags/objects/runtime-2/root//deleted /old ro - ext4 /dev/vda rw",
    ].join("\n");
    assert.deepEqual(mountedObjects(text), ["runtime-1", "image-1", "runtime-2"]);
  });
});

describe("readInstalledParts", () => {
  it("reads releases newest first, the objects they name and what is unfinished", async () => {
    await using temp = await makeTempDir();
    for (const [age, name] of ["a", "b"].entries()) {
      const folder = join(temp.path, "releases", name);
      await mkdir(folder, { recursive: true });
      await writeFile(
        join(folder, "artifacts.json"),
        JSON.stringify({ runtime: `/opt/mags/objects/runtime-${name}/root` }),
      );
      await utimes(folder, 1_000_000 + age, 1_000_000 + age);
    }
    for (const name of ["runtime-a", "runtime-b", ".new.7"])
      await mkdir(join(temp.path, "objects", name), { recursive: true });
    await symlink("releases/b", join(temp.path, "current"));
    const read = await readInstalledParts(temp.path, []);
    assert.deepEqual(
      read?.releases.map(({ name, objects }) => [name, objects]),
      [
        ["b", ["runtime-b"]],
        ["a", ["runtime-a"]],
      ],
    );
    assert.equal(read?.current, "b");
    assert.deepEqual(read?.unfinished, ["objects/.new.7"]);
    assert.deepEqual(unneededParts({ ...parts, ...read, releases: read?.releases ?? [] }), ["objects/.new.7"]);
  });

  it("knows a release whose program runs also where the folder is reached by a link", async () => {
    await using temp = await makeTempDir();
    const bin = join(temp.path, "disk/releases/a/bin");
    await mkdir(bin, { recursive: true });
    await writeFile(join(temp.path, "disk/releases/a/artifacts.json"), "{}");
    await symlink("releases/a", join(temp.path, "disk/current"));
    await symlink("disk", join(temp.path, "opt"));
    await copyFile("/bin/sleep", join(bin, "sleep"));
    const program = spawn(join(bin, "sleep"), ["60"], { stdio: "ignore" });
    await once(program, "spawn");
    try {
      const read = await readInstalledParts(join(temp.path, "opt"), []);
      assert.deepEqual(read?.releasesInUse, new Set(["a"]));
    } finally {
      program.kill("SIGKILL");
      await once(program, "exit");
    }
  });

  it("rejects when it cannot read what a release needs, rather than take that for unneeded", async () => {
    await using temp = await makeTempDir();
    await mkdir(join(temp.path, "releases/a"), { recursive: true });
    await symlink("releases/a", join(temp.path, "current"));
    await assert.rejects(readInstalledParts(temp.path, []), /artifacts\.json/);
  });

  it("says nothing of a folder without an installation", async () => {
    await using temp = await makeTempDir();
    assert.equal(await readInstalledParts(temp.path, []), undefined);
  });
});
