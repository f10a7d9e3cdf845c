import assert from "node:assert/strict";
import { readdir, rename, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { silentLogger } from "@mags/core";
import { makeTempDir } from "@mags/test-kit";
import { type RecordRef, sha256Of } from "@mags/workspace-store";
import { openRecordCache, type RecordCache } from "./record-cache.ts";

const ACCOUNT = "a";
const SIZE = 1000;
const options = { maxBytes: 3 * SIZE, log: silentLogger };

function record(seed: number): { readonly ref: RecordRef; readonly plain: Buffer } {
  const plain = Buffer.alloc(SIZE, seed);
  const ref = {
    pack: "0".repeat(32),
    offset: 0,
    storedBytes: SIZE,
    plainBytes: SIZE,
    codec: 0,
    sha256: sha256Of(plain),
  };
  return { ref: ref as RecordRef, plain };
}

async function open(path: string, how = options): Promise<RecordCache> {
  const cache = openRecordCache(path, how);
  await cache.counted;
  return cache;
}

const filesIn = async (path: string) =>
  (await readdir(path, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());

describe("the cache of records", () => {
  it("gives back what it was given, over restarts, and lets go of what was not used for longest", async () => {
    await using dir = await makeTempDir();
    let cache = await open(dir.path, options);
    const records = [1, 2, 3, 4].map(record);
    for (const { ref, plain } of records.slice(0, 3)) await cache.put(ACCOUNT, ref, plain);
    const [first, second, third, fourth] = records;
    assert.ok(first && second && third && fourth);
    assert.deepEqual(await cache.get(ACCOUNT, first.ref), first.plain);
    await cache.put(ACCOUNT, fourth.ref, fourth.plain);
    assert.equal(await cache.get(ACCOUNT, second.ref), undefined);
    assert.equal(cache.sizeBytes, 3 * SIZE);
    assert.equal((await filesIn(dir.path)).length, 3);
    cache = await open(dir.path, options);
    for (const { ref, plain } of [first, third, fourth]) assert.deepEqual(await cache.get(ACCOUNT, ref), plain);
    assert.equal(await cache.get("another", first.ref), undefined, "accounts do not see each other's");
    cache = await open(dir.path, { ...options, maxBytes: SIZE });
    assert.equal(cache.sizeBytes, SIZE);
  });

  it("gives what an earlier process kept before it has counted that, and keeps what is new", async () => {
    await using dir = await makeTempDir();
    const [old, older, fresh] = [record(1), record(2), record(3)];
    const before = await open(dir.path);
    for (const { ref, plain } of [older, old]) await before.put(ACCOUNT, ref, plain);
    const cache = openRecordCache(dir.path, { ...options, maxBytes: 2 * SIZE });
    const [got] = await Promise.all([cache.get(ACCOUNT, old.ref), cache.put(ACCOUNT, fresh.ref, fresh.plain)]);
    assert.deepEqual(got, old.plain);
    await cache.counted;
    assert.equal(cache.sizeBytes, 2 * SIZE);
    assert.deepEqual(await cache.get(ACCOUNT, fresh.ref), fresh.plain);
    assert.equal(await cache.get(ACCOUNT, older.ref), undefined);
    await cache[Symbol.asyncDispose]();
  });

  it("counts again when that has failed, and then keeps to its bound", async () => {
    await using dir = await makeTempDir();
    const path = join(dir.path, "cache");
    const [folder, next] = [join(dir.path, "folder"), join(dir.path, "next")];
    const before = await open(folder);
    for (const { ref, plain } of [1, 2, 3].map(record)) await before.put(ACCOUNT, ref, plain);
    await writeFile(join(dir.path, "file"), "in the way of the folder");
    await symlink("file", path);
    const failed = Promise.withResolvers<string>();
    const log = { ...silentLogger, warn: failed.resolve };
    await using cache = openRecordCache(path, { maxBytes: 2 * SIZE, pauseMs: 1, log });
    assert.equal(await failed.promise, "blocks.cache_not_counted");
    await symlink("folder", next);
    await rename(next, path);
    await cache.counted;
    assert.equal(cache.sizeBytes, 2 * SIZE);
    assert.equal((await filesIn(folder)).length, 2);
  });

  it("does not wait to count again once it is disposed", async () => {
    await using dir = await makeTempDir();
    const path = join(dir.path, "cache");
    await writeFile(path, "in the way of the folder");
    const failed = Promise.withResolvers<string>();
    const log = { ...silentLogger, warn: failed.resolve };
    const cache = openRecordCache(path, { maxBytes: SIZE, pauseMs: 3_600_000, log });
    await failed.promise;
    await cache[Symbol.asyncDispose]();
  });

  it("gives nothing that is not what it was given", async () => {
    await using dir = await makeTempDir();
    const cache = await open(dir.path, options);
    const { ref, plain } = record(7);
    await cache.put(ACCOUNT, ref, plain);
    const [file] = await filesIn(dir.path);
    assert.ok(file);
    await writeFile(join(file.parentPath, file.name), Buffer.alloc(SIZE, 8));
    assert.equal(await cache.get(ACCOUNT, ref), undefined);
    assert.equal(cache.sizeBytes, 0);
    await cache.put(ACCOUNT, ref, plain);
    assert.deepEqual(await cache.get(ACCOUNT, ref), plain);
  });

  it("removes what a crash left half written, and does without what cannot be written", async () => {
    await using dir = await makeTempDir();
    let cache = await open(dir.path, options);
    const { ref, plain } = record(7);
    await cache.put(ACCOUNT, ref, plain);
    const [file] = await filesIn(dir.path);
    assert.ok(file);
    await writeFile(join(file.parentPath, `${file.name}.12345678.tmp`), "half");
    cache = await open(dir.path, options);
    assert.equal((await filesIn(dir.path)).length, 1);
    await writeFile(join(dir.path, "b"), "in the way of a folder");
    await cache.put("b", ref, plain);
    assert.equal(await cache.get("b", ref), undefined);
  });
});
