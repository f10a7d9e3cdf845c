import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { AppError, untilAborted } from "@mags/core";
import { NotNow } from "@mags/nbd";
import { CHUNK_BYTES, type RecordRef, type VersionReader } from "@mags/workspace-store";
import type { CachedRecords } from "../cache/cached-records.ts";
import { type Place, versionExport } from "./version-export.ts";

const { signal } = new AbortController();

/** A disk of eight chunks, all of them stored, that are fetched when the test says so. */
function newExport({ patienceMs = 50 } = {}) {
  const damages: Place[] = [];
  const attempts: (() => Promise<Buffer[]>)[] = [];
  let asked = 0;
  const ref = (index: number) => ({ sha256: String(index) }) as RecordRef; // nobody looks at more of it
  const version = {
    manifest: { diskBytes: 8 * CHUNK_BYTES, tables: new Map([[0, {}]]) },
    chunkCount: 8,
    chunk: async (index: number) => ref(index),
  } as unknown as VersionReader; // what an export needs of one
  const records = {
    prefetch() {},
    getAll: (refs: readonly RecordRef[], options: { readonly signal: AbortSignal }) =>
      untilAborted((attempts[asked++] ?? (async () => refs.map(() => Buffer.alloc(CHUNK_BYTES, 7))))(), options.signal),
  } as unknown as CachedRecords; // as above
  const disk = versionExport(version, { records, onDamage: (place) => void damages.push(place), patienceMs });
  const read = () => disk.read(2 * CHUNK_BYTES, CHUNK_BYTES, { signal });
  return { read, attempts, damages, asked: () => asked };
}

const unavailable = () => Promise.reject(new AppError("unavailable", "the store is away"));

describe("a read of a version", () => {
  it("is told to come again when its time is over, though the store has not answered at all", async () => {
    const { read, attempts, asked, damages } = newExport();
    attempts.push(() => new Promise(() => {}));
    await assert.rejects(read(), NotNow);
    assert.equal(asked(), 1);
    assert.deepEqual(await read(), [Buffer.alloc(CHUNK_BYTES, 7)]);
    assert.deepEqual(damages, []);
  });

  it("is tried again within its time", async () => {
    const { read, attempts, asked } = newExport({ patienceMs: 60_000 });
    attempts.push(unavailable, unavailable);
    assert.deepEqual(await read(), [Buffer.alloc(CHUNK_BYTES, 7)]);
    assert.equal(asked(), 3);
  });

  it("says what the store said last when its time is over", async () => {
    const { read, attempts } = newExport();
    attempts.push(unavailable, () => new Promise(() => {}));
    await assert.rejects(read(), (error: Error) => error instanceof NotNow && /away/.test(String(error.cause)));
  });

  it("fails at once for what is damaged, and tells of it", async () => {
    const { read, attempts, asked, damages } = newExport({ patienceMs: 60_000 });
    attempts.push(() => Promise.reject(new AppError("chunk_corrupt", "flipped")));
    await assert.rejects(read(), { code: "chunk_corrupt" });
    assert.equal(asked(), 1);
    assert.deepEqual(damages, [{ first: 2, end: 3 }]);
  });
});
