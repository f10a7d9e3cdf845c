import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdir, open, readFile, stat, writeFile } from "node:fs/promises";
import { describe, it } from "node:test";
import { collectAll, debugfs, makeTempDir } from "@mags/test-kit";
import { type TarShape, tarOf } from "../src/index.ts";
import { hostFile, makeDisk, openDisk, signal } from "./harness.ts";

/** The archive, and what it does not have. */
async function archive(image: string, shape: TarShape = "layer") {
  const missing: string[] = [];
  const onMissing = (path: string, why: string) => void missing.push(`${path} ${why}`);
  const bytes = Buffer.concat(await collectAll(tarOf(await openDisk(image), { shape, signal, onMissing })));
  return { bytes, missing };
}

const tar = (args: readonly string[], input: Buffer) =>
  execFileSync("tar", args, { input, encoding: "latin1", env: { ...process.env, LC_ALL: "C", TZ: "UTC" } });

/** What GNU tar says is in it: mode, owner, size or device, time, name, attributes. */
const listed = (bytes: Buffer) =>
  tar(["-tvv", "--full-time", "--numeric-owner", "--xattrs", "--xattrs-include=*", "-f", "-"], bytes)
    .trimEnd()
    .split("\n")
    .map((line) => line.replaceAll(/ +/g, " "));

const TIMES = ["mtime @1700000000", "mtime_extra 0x1d6f3454"]; // 0.123456789 s
const dated = (path: string) => TIMES.map((field) => `sif ${path} ${field}`);
const AT = "2023-11-14 22:13:20.123456789";

describe("tarOf", () => {
  it("makes a layer: deleted and hidden files are marks, what overlayfs notes is gone", async () => {
    await using dir = await makeTempDir();
    const image = `${dir.path}/img`;
    const content = await hostFile(`${dir.path}/content`, "hello");
    await makeDisk(
      image,
      "mkdir etc",
      "cd etc",
      `write ${content} conf`,
      "mknod deleted c 0 0",
      "cd ..",
      "sif etc/conf mode 0104755",
      "sif etc/conf uid 70000",
      "ea_set etc/conf user.note x",
      "ea_set etc/conf trusted.overlay.origin y",
      "ea_set etc/conf trusted.overlay.overlay.opaque n",
      "ea_set etc trusted.overlay.opaque y",
      "mknod null c 1 3",
      "mknod pipe p",
      "symlink soft etc/conf",
      ...["/up", "etc", "etc/conf", "etc/deleted", "null", "pipe", "soft"].flatMap(dated),
    );
    const { bytes, missing } = await archive(image);
    assert.deepEqual(missing, []);
    assert.deepEqual(listed(bytes).toSorted(), [
      ` x: 1 trusted.overlay.opaque`,
      ` x: 1 user.note`,
      `-rw------- 0/0 0 ${AT} etc/.wh..wh..opq`,
      `-rw------- 0/0 0 ${AT} etc/.wh.deleted`,
      `-rwsr-xr-x* 70000/0 5 ${AT} etc/conf`,
      `c--------- 0/0 1,3 ${AT} null`,
      `drwxr-xr-x 0/0 0 ${AT} ./`,
      `drwxr-xr-x 0/0 0 ${AT} etc/`,
      `lrwxrwxrwx 0/0 0 ${AT} soft -> etc/conf`,
      `p--------- 0/0 0 ${AT} pipe`,
    ]);
    assert.equal(tar(["-xO", "-f", "-", "etc/conf"], bytes), "hello");
    const overlay = listed((await archive(image, "overlay")).bytes);
    assert.ok(overlay.includes(`c--------- 0/0 0,0 ${AT} etc/deleted`), overlay.join("\n"));
    assert.equal(overlay.filter((line) => line.includes(" trusted.overlay.")).length, 3);
    assert.ok(!overlay.some((line) => line.includes(".wh.")));
  });

  it("stores a file with several names once, and files with holes as their parts", async () => {
    await using dir = await makeTempDir();
    await using file = await open(`${dir.path}/sparse`, "w");
    for (let n = 0; n < 9; n++) await file.write(`part ${n}`, n * 3_000_000 + 17);
    await file.truncate(40_000_000);
    const image = `${dir.path}/img`;
    const text = await hostFile(`${dir.path}/text`, "text");
    const long = "n".repeat(150);
    await makeDisk(
      image,
      `write ${dir.path}/sparse sparse`,
      `write ${text} one`,
      "ln one two",
      "sif one links_count 2",
      `write ${text} ${long}`,
    );
    await debugfs(image, `cd up`, `ln one ${"m".repeat(200)}`, "sif one links_count 3");
    const { bytes } = await archive(image);
    assert.ok(bytes.length < 300_000, `${bytes.length} bytes`);
    await mkdir(`${dir.path}/out`);
    tar(["-x", "-f", "-", "-C", `${dir.path}/out`], bytes);
    assert.ok((await readFile(`${dir.path}/out/sparse`)).equals(await readFile(`${dir.path}/sparse`)));
    const inodes = await Promise.all(
      ["one", "two", "m".repeat(200)].map(async (name) => (await stat(`${dir.path}/out/${name}`)).ino),
    );
    assert.equal(new Set(inodes).size, 1);
    assert.equal(await readFile(`${dir.path}/out/${long}`, "utf8"), "text");
  });

  it("makes no archive that is much larger than the disk, of however many files that are empty", async () => {
    await using dir = await makeTempDir();
    const image = `${dir.path}/img`;
    const empty = await hostFile(`${dir.path}/empty`, "");
    await makeDisk(
      image,
      ...Array.from({ length: 40 }, (_, n) => [`write ${empty} f${n}`, `sif f${n} size 15000000`]).flat(),
    );
    const { bytes } = await archive(image);
    assert.ok(bytes.length < 40 << 20, `${bytes.length} bytes`);
    assert.equal(listed(bytes).filter((line) => / 15000000 .* f\d+$/.test(line)).length, 40);
  });

  it("names what a layer cannot say", async () => {
    await using dir = await makeTempDir();
    const image = `${dir.path}/img`;
    const text = await hostFile(`${dir.path}/text`, "text");
    await makeDisk(
      image,
      "mkdir moved",
      "ea_set moved trusted.overlay.redirect /usr/lib/before",
      "cd moved",
      `write ${text} new`,
      "cd ..",
      `write ${text} .wh.mine`,
      "mknod socket p",
      "sif socket mode 0140755",
    );
    const { bytes, missing } = await archive(image);
    assert.deepEqual(missing.toSorted(), [
      ".wh.mine begins with .wh., which marks deleted files in a layer",
      "moved was moved from /usr/lib/before of the image: what did not change in it is only there",
      "socket is a socket, which archives do not have",
    ]);
    assert.equal(tar(["-xO", "-f", "-", "moved/new"], bytes), "text");
    assert.deepEqual((await archive(image, "overlay")).missing, ["socket is a socket, which archives do not have"]);
  });

  it("ends when folders contain each other, and when files share their blocks", async () => {
    await using dir = await makeTempDir();
    const image = `${dir.path}/img`;
    await makeDisk(image, "mkdir a", "mkdir a/b", "link a a/b/again");
    await assert.rejects(archive(image), /is in two places/);
    const large = await hostFile(`${dir.path}/large`, Buffer.alloc(3 << 20, 1));
    await makeDisk(image, `write ${large} file`, ...Array.from({ length: 12 }, (_, n) => `link file name${n}`));
    await assert.rejects(archive(image), /larger than the disk/);
    await writeFile(image, Buffer.alloc(1 << 20));
    await assert.rejects(archive(image), /no ext4 superblock/);
  });
});
