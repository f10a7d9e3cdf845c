import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { link, mkdir, stat, symlink, writeFile } from "node:fs/promises";
import { describe, it } from "node:test";
import { collectAll, makeTempDir } from "@mags/test-kit";
import {
  createMapMeasure,
  END_OF_ARCHIVE,
  headerBytes,
  padding,
  readTarStream,
  sparseMap,
  type WrittenEntry,
} from "./index.ts";

async function* inPieces(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function readAll(bytes: Buffer, pieceBytes = 1_000) {
  const found: { path: string; type: string; linkPath: string; content: string }[] = [];
  for await (const { entry, content } of readTarStream(inPieces(bytes, pieceBytes))) {
    const pieces: Buffer[] = [];
    for await (const piece of content) pieces.push(piece);
    found.push({
      path: entry.path,
      type: entry.type,
      linkPath: entry.linkPath,
      content: Buffer.concat(pieces).toString("latin1"),
    });
  }
  return found;
}

function entry(path: string, more: Partial<WrittenEntry> = {}): WrittenEntry {
  return {
    ...{
      path,
      type: "file",
      mode: 0o644,
      uid: 0,
      gid: 0,
      mtime: 1_700_000_000,
      linkPath: "",
      xattrs: new Map(),
      size: 0,
    },
    ...more,
  } as WrittenEntry;
}

const LONG = `${"d".repeat(60)}/${"\xff\xe4".repeat(40)}`;

describe("readTarStream", () => {
  it("reads what tar writes, names as bytes, whatever the pieces", async () => {
    await using dir = await makeTempDir();
    await mkdir(`${dir.path}/${"d".repeat(60)}`);
    await writeFile(Buffer.from(`${dir.path}/${LONG}`, "latin1"), "content");
    await link(Buffer.from(`${dir.path}/${LONG}`, "latin1"), `${dir.path}/hard`);
    await symlink("../x", `${dir.path}/soft`);
    const archive = execFileSync("tar", ["-c", "-f", "-", "--sort=name", "."], { cwd: dir.path });
    for (const pieceBytes of [1, 700, 1_000_000]) {
      const found = await readAll(archive, pieceBytes);
      assert.deepEqual(
        found.map(({ path, type }) => [path, type]),
        [
          ["./", "directory"],
          [`./${"d".repeat(60)}/`, "directory"],
          [`./${LONG}`, "file"],
          ["./hard", "link"],
          ["./soft", "symlink"],
        ],
      );
      assert.equal(found[2]?.content, "content");
      assert.equal(found[3]?.linkPath, `./${LONG}`);
    }
  });

  it("skips contents that nobody reads", async () => {
    const body = Buffer.alloc(5_000, 1);
    const first = [headerBytes(entry("a", { size: body.length })), body, padding(body.length)];
    const bytes = Buffer.concat([...first, headerBytes(entry("b")), END_OF_ARCHIVE]);
    const paths: string[] = [];
    for await (const { entry: found } of readTarStream(inPieces(bytes, 512))) paths.push(found.path);
    assert.deepEqual(paths, ["a", "b"]);
  });

  it("refuses what is cut short, and extensions that would fill the memory", async () => {
    const body = Buffer.alloc(1_000);
    const whole = Buffer.concat([headerBytes(entry("file", { size: 1_000 })), body, padding(1_000), END_OF_ARCHIVE]);
    await assert.rejects(readAll(whole.subarray(0, 1_200)), /cut short in "file"/);
    await assert.rejects(readAll(whole.subarray(0, 1_536)), /cut short: it ends at byte 1536/);
    const bomb = headerBytes(entry("x", { size: 2 ** 33 - 1 }));
    bomb.write("x", 156);
    let sum = 8 * 0x20;
    for (let at = 0; at < 512; at++) if (at < 148 || at >= 156) sum += bomb[at] ?? 0;
    bomb.write(sum.toString(8).padStart(6, "0"), 148);
    await assert.rejects(readAll(bomb), /more than 262144/);
  });
});

describe("headerBytes", () => {
  it("writes long names that are bytes as GNU does, which tar understands", async () => {
    await using dir = await makeTempDir();
    const parts = [
      headerBytes(entry(`${"d".repeat(60)}/`, { type: "directory", mode: 0o755 }), "gnu"),
      headerBytes(entry(LONG, { size: 3 }), "gnu"),
      Buffer.from("abc"),
      padding(3),
      headerBytes(entry("hard", { type: "link", linkPath: LONG }), "gnu"),
      END_OF_ARCHIVE,
    ];
    const { status, stderr } = spawnSync("tar", ["-x", "-f", "-"], { cwd: dir.path, input: Buffer.concat(parts) });
    assert.equal(status, 0, stderr.toString());
    assert.equal(readFileSync(Buffer.from(`${dir.path}/${LONG}`, "latin1"), "utf8"), "abc");
    assert.equal(readFileSync(`${dir.path}/hard`, "utf8"), "abc");
  });

  it("writes times before 1970 and with nanoseconds, devices, and files as their parts, which tar understands", async () => {
    await using dir = await makeTempDir();
    const times = [
      { mtime: -2, mtimeNanos: 500_000_000, ns: -1_500_000_000n },
      { mtime: -1, mtimeNanos: 1, ns: -999_999_999n },
      { mtime: -7, ns: -7_000_000_000n },
      { mtime: 1_700_000_000, mtimeNanos: 123_456_789, ns: 1_700_000_000_123_456_789n },
      { mtime: 2 ** 33, ns: 2n ** 33n * 1_000_000_000n },
    ];
    const regions = [
      { offset: 0, length: 1_024 },
      { offset: 5_000_000, length: 1 },
    ];
    const sparseSize = 9_000_000;
    const measure = createMapMeasure(sparseSize);
    for (const region of regions) measure.add(region);
    const { count, bytes } = measure.end();
    async function* again() {
      yield* regions;
    }
    const map = Buffer.concat(await collectAll(sparseMap(again(), { count, sparseSize })));
    assert.equal(map.length, bytes);
    const parts = [
      ...times.map(({ ns: _, ...time }, n) => headerBytes(entry(`time${n}`, time))),
      headerBytes(entry(LONG, { size: bytes + 1_025, sparseSize })),
      ...[map, Buffer.alloc(1_025, "x"), padding(1_025)],
      END_OF_ARCHIVE,
    ];
    const archive = Buffer.concat(parts);
    const { status, stderr } = spawnSync("tar", ["-x", "-f", "-"], { cwd: dir.path, input: archive });
    assert.equal(status, 0, stderr.toString());
    for (const [n, { ns }] of times.entries())
      assert.equal((await stat(`${dir.path}/time${n}`, { bigint: true })).mtimeNs, ns);
    const expected = Buffer.alloc(sparseSize);
    expected.fill("x", 0, 1_024);
    expected.fill("x", 5_000_000, 5_000_001);
    assert.ok(readFileSync(Buffer.from(`${dir.path}/${LONG}`, "latin1")).equals(expected));
    const device = headerBytes(entry("null", { type: "character", device: { major: 259, minor: 70_000 } }));
    const listed = spawnSync("tar", ["-tv", "-f", "-"], { input: Buffer.concat([device, END_OF_ARCHIVE]) });
    assert.match(listed.stdout.toString(), /^crw-r--r-- .* 259,70000 .* null$/m);
  });
});
