import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { createLineSplitter } from "./line-splitter.ts";

const MAX_BYTES = 5_000;

function split(text: Buffer, chunkBytes: number): string[] {
  const lines: string[] = [];
  const splitter = createLineSplitter(MAX_BYTES);
  for (let at = 0; at < text.length; at += chunkBytes)
    splitter.push(text.subarray(at, at + chunkBytes), (line) => lines.push(line));
  return lines;
}

describe("createLineSplitter", () => {
  it("gives every whole line once, however it is cut", () => {
    const line = fc.string({ unit: fc.constantFrom("a", "é", "🙂", "\r"), maxLength: 1_200 });
    fc.assert(
      fc.property(fc.array(line, { maxLength: 10 }), line, fc.integer({ min: 1, max: 4_000 }), (lines, rest, size) => {
        const text = lines.map((one) => `${one}\n`).join("") + rest;
        assert.deepEqual(split(Buffer.from(text), size), lines);
      }),
    );
  });

  it("refuses a line that is too long, finished or not", () => {
    const longest = "x".repeat(MAX_BYTES);
    assert.deepEqual(split(Buffer.from(`${longest}\n`), 100), [longest]);
    assert.throws(() => split(Buffer.from(`${longest}x\n`), 100_000), /more than 5000 bytes/);
    assert.throws(() => split(Buffer.from(`${longest}x`), 1), /more than 5000 bytes/);
  });
});
