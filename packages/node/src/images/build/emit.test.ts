import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { describe, it } from "node:test";
import { type MadeEntry, tarFile } from "../../../test/images/make-tar.ts";
import type { ByteSource } from "../tar/byte-source.ts";
import { readTar, type TarEntry } from "../tar/reader.ts";
import { archiveOf } from "./emit.ts";
import { applyLayer } from "./layers.ts";
import { createDirectory } from "./tree.ts";

function sourceOf(bytes: Buffer): ByteSource {
  return { length: bytes.length, read: async (offset, length) => bytes.subarray(offset, offset + length) };
}

async function read(bytes: Buffer): Promise<TarEntry[]> {
  const entries: TarEntry[] = [];
  for await (const entry of readTar(sourceOf(bytes), { count() {} })) entries.push(entry);
  return entries;
}

async function rewritten(made: readonly MadeEntry[]): Promise<Buffer> {
  const bytes = tarFile(made);
  const root = createDirectory();
  applyLayer(root, await read(bytes), { layer: 0, limits: { count() {} }, whiteouts: false });
  const pieces: Buffer[] = [];
  for await (const piece of archiveOf(root, [sourceOf(bytes)])) pieces.push(piece);
  return Buffer.concat(pieces);
}

describe("archiveOf", () => {
  const long = `${"long-name/".repeat(14)}ä`;
  const made: MadeEntry[] = [
    { path: "./", type: "5", mode: 0o750 },
    { path: "b", body: Buffer.from("two names"), mode: 0o755, uid: 1000 },
    { path: "a", type: "1", linkPath: "b" },
    { path: "f", type: "6" },
    { path: "s", type: "2", linkPath: "../anywhere" },
    { path: "x", pax: { path: long, uid: "3000000000", "SCHILY.xattr.user.note": "n" }, body: Buffer.alloc(70_000, 7) },
  ];

  it("writes each folder before what is in it, each file once, with names, owners and attributes as they were", async () => {
    const bytes = await rewritten(made);
    const entries = await read(bytes);
    const raw = Buffer.from(long).toString("latin1");
    assert.deepEqual(
      entries.filter(({ type }) => type !== "directory").map(({ path, type, linkPath }) => [path, type, linkPath]),
      [
        ["a", "file", ""],
        ["b", "link", "a"],
        ["f", "fifo", ""],
        [raw, "file", ""],
        ["s", "symlink", "../anywhere"],
      ],
    );
    const at = (path: string) => entries.find((entry) => entry.path === path);
    assert.deepEqual([at("./")?.mode, at("a")?.mode, at("a")?.uid], [0o750, 0o755, 1000]);
    assert.equal(bytes.toString("utf8", at("a")?.offset, (at("a")?.offset ?? 0) + 9), "two names");
    assert.deepEqual(
      [at(raw)?.uid, at(raw)?.size, at(raw)?.xattrs.get("user.note")],
      [3_000_000_000, 70_000, Buffer.from("n")],
    );
    assert.deepEqual(bytes.subarray(at(raw)?.offset, (at(raw)?.offset ?? 0) + 70_000), Buffer.alloc(70_000, 7));
    const seen = new Set(["./"]);
    for (const { path, type } of entries) {
      const parent = path.replace(/\/$/, "").replace(/[^/]+$/, "") || "./";
      assert.ok(seen.has(parent), `${path} comes before its folder`);
      if (type === "directory") seen.add(path);
    }
  });

  it("writes what other programs read, and the same bytes for the same files in any order", async () => {
    const bytes = await rewritten(made);
    const listed = execFileSync("tar", ["-tvf", "-", "--numeric-owner"], { input: bytes, encoding: "utf8" });
    assert.match(listed, /-rwxr-xr-x 1000\/0 +9 .* a\nhrwxr-xr-x .* b link to a\n/);
    assert.ok(bytes.equals(await rewritten([made[1], made[0], ...made.slice(2)].filter((e) => e !== undefined))));
  });
});
