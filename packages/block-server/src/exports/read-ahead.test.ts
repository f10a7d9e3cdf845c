import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createReadAhead } from "./read-ahead.ts";

describe("createReadAhead", () => {
  it("fetches nothing ahead of single reads", () => {
    const ahead = createReadAhead({ chunkCount: 100_000 });
    for (const first of [0, 5_000, 900, 40_000]) assert.equal(ahead.onRead(first, first + 2), null);
  });

  it("fetches each chunk once, always before it is read, in growing pieces", () => {
    const ahead = createReadAhead({ chunkCount: 1_000 });
    assert.equal(ahead.onRead(0, 2), null);
    let fetched = 2;
    let pieces = 0;
    for (let at = 2; at < 1_000; at += 2) {
      const next = ahead.onRead(at, at + 2);
      if (!next) continue;
      pieces++;
      assert.equal(next.first, Math.max(fetched, at + 2));
      assert.ok(next.end > next.first && next.end <= 1_000);
      fetched = next.end;
    }
    assert.equal(fetched, 1_000);
    assert.ok(pieces < 25, `${pieces} pieces`);
  });

  it("follows several that read in turn, and reads that overtake each other", () => {
    const ahead = createReadAhead({ chunkCount: 100_000 });
    ahead.onRead(0, 2);
    ahead.onRead(50_000, 50_002);
    assert.deepEqual(ahead.onRead(2, 4), { first: 4, end: 20 });
    assert.deepEqual(ahead.onRead(50_002, 50_004), { first: 50_004, end: 50_020 });
    assert.deepEqual(ahead.onRead(4, 6), { first: 20, end: 38 });
    assert.equal(ahead.onRead(0, 2), null);
    assert.deepEqual(ahead.onRead(6, 20), { first: 38, end: 84 });
  });

  it("ends with the disk", () => {
    const ahead = createReadAhead({ chunkCount: 10 });
    ahead.onRead(4, 6);
    assert.deepEqual(ahead.onRead(6, 8), { first: 8, end: 10 });
    assert.equal(ahead.onRead(8, 10), null);
  });
});
