import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { createLineSplitter, type LogLine, MAX_LINE_BYTES } from "./log-lines.ts";
import type { LogRecord } from "./node-runtime.ts";

const record = (index: number, source: LogRecord["source"], bytes: Buffer | string): LogRecord => ({
  index,
  source,
  atMs: index,
  bytes: Buffer.from(bytes),
});

const texts = (lines: readonly LogLine[]) => lines.map((line) => `${line.source}:${line.bytes.toString()}`);

describe("createLineSplitter", () => {
  it("gives a line when its newline comes, and keeps the sources apart", () => {
    const splitter = createLineSplitter();
    assert.deepEqual(texts(splitter.push(record(1, "stdout", "a"))), []);
    assert.deepEqual(texts(splitter.push(record(2, "stderr", "x\n"))), ["stderr:x"]);
    assert.deepEqual(texts(splitter.push(record(3, "stdout", "b\n\nc"))), ["stdout:ab", "stdout:"]);
    assert.deepEqual(texts(splitter.end()), ["stdout:c"]);
  });

  it("gives the same lines however the bytes are cut into records", () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.oneof(
            fc.constant("\n"),
            fc.string(),
            fc.nat(140_000).map((n) => "y".repeat(n)),
          ),
          { maxLength: 12 },
        ),
        fc.array(fc.integer({ min: 1, max: 65_536 }), { minLength: 1, maxLength: 20 }),
        (parts, cuts) => {
          const whole = Buffer.from(parts.join(""));
          const expected = createLineSplitter();
          const want = [...expected.push(record(1, "stdout", whole)), ...expected.end()];
          const splitter = createLineSplitter();
          const got: LogLine[] = [];
          for (let offset = 0, n = 0; offset < whole.length; n++) {
            const length = cuts[n % cuts.length] ?? 1;
            got.push(...splitter.push(record(n + 1, "stdout", whole.subarray(offset, offset + length))));
            offset += length;
          }
          got.push(...splitter.end());
          assert.deepEqual(texts(got), texts(want));
          assert.ok(got.every((line) => line.bytes.length <= MAX_LINE_BYTES));
        },
      ),
      { numRuns: 60 },
    );
  });
});
