import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { CHUNK_BYTES, SEGMENT_CHUNKS } from "@mags/workspace-store";
import { zeroExtents } from "./zero-extents.ts";

const options = { patienceMs: 60_000, signal: new AbortController().signal };
const SEGMENT_BYTES = SEGMENT_CHUNKS * CHUNK_BYTES;
/** The longest question there is, but for a chunk. */
const RANGE = { offset: 0, length: 2 ** 32 - CHUNK_BYTES };
const places = Array.from({ length: SEGMENT_CHUNKS }, (_, place) => [place, "stored"] as const);
const FULL = new Map(places);
const EVERY_SECOND = new Map(places.filter(([place]) => place % 2 === 1));

/** Tells which tables are read of disks whose segments are all the same. */
function tablesOf(table: ReadonlyMap<number, unknown> | undefined) {
  const read: number[] = [];
  const tableOf = (segment: number) => {
    read.push(segment);
    return table && Promise.resolve(table);
  };
  return { read, tableOf };
}

describe("zeroExtents", () => {
  it("tells of chunks, and of segments that have none, within the range", async () => {
    const tableOf = (segment: number) => (segment === 1 ? Promise.resolve(new Map([[1, "stored"]])) : undefined);
    const range = { offset: 5, length: 3 * SEGMENT_BYTES };
    assert.deepEqual(await zeroExtents(tableOf, range, { ...options, mostExtents: 9 }), [
      { length: SEGMENT_BYTES + CHUNK_BYTES - 5, zero: true },
      { length: CHUNK_BYTES, zero: false },
      { length: 2 * SEGMENT_BYTES - 2 * CHUNK_BYTES + 5, zero: true },
    ]);
    const within = { offset: SEGMENT_BYTES + CHUNK_BYTES + 5, length: 7 };
    assert.deepEqual(await zeroExtents(tableOf, within, { ...options, mostExtents: 9 }), [{ length: 7, zero: false }]);
  });

  it("reads no further than the most extents that are wanted", async () => {
    const { read, tableOf } = tablesOf(EVERY_SECOND);
    assert.deepEqual(await zeroExtents(tableOf, RANGE, { ...options, mostExtents: 1 }), [
      { length: CHUNK_BYTES, zero: true },
    ]);
    assert.deepEqual(read, [0]);
    const most = await zeroExtents(tableOf, RANGE, { ...options, mostExtents: 2 * SEGMENT_CHUNKS });
    assert.equal(most.length, 2 * SEGMENT_CHUNKS);
    assert.deepEqual(read, [0, 0, 1, 2]);
  });

  it("gives way to others while it walks, and ends when nobody waits for it", async () => {
    for (const table of [FULL, undefined]) {
      let turns = 0;
      const walking = new AbortController();
      const { read, tableOf } = tablesOf(table);
      const others = () => {
        if (++turns === 10) walking.abort(new Error("enough"));
        else setImmediate(others);
      };
      setImmediate(others);
      await assert.rejects(
        zeroExtents(tableOf, RANGE, { ...options, mostExtents: 1, signal: walking.signal }),
        /enough/,
      );
      assert.ok(read.length < 60, `${read.length} segments`);
    }
  });

  it("tells what it knows when it takes too long, or cannot go on", async () => {
    const { read, tableOf } = tablesOf(FULL);
    const first = [{ length: SEGMENT_BYTES, zero: false }];
    assert.deepEqual(await zeroExtents(tableOf, RANGE, { ...options, mostExtents: 9, patienceMs: 0 }), first);
    assert.deepEqual(read, [0]);
    const failing = (segment: number) => (segment === 1 ? Promise.reject(new Error("damaged")) : tableOf(segment));
    assert.deepEqual(await zeroExtents(failing, RANGE, { ...options, mostExtents: 9 }), first);
    const behind = { offset: SEGMENT_BYTES, length: SEGMENT_BYTES };
    await assert.rejects(zeroExtents(failing, behind, { ...options, mostExtents: 9 }), /damaged/);
  });
});
