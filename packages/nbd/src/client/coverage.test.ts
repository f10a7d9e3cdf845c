import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { createCoverage } from "./coverage.ts";

const SIZE = 60;

describe("createCoverage", () => {
  it("agrees with a list of every byte", () => {
    const part = fc.record({ start: fc.nat({ max: SIZE - 1 }), length: fc.integer({ min: 1, max: 12 }) });
    fc.assert(
      fc.property(fc.array(part, { maxLength: 30 }), (parts) => {
        const coverage = createCoverage();
        const covered: boolean[] = Array(SIZE).fill(false);
        for (const { start, length: wished } of parts) {
          const length = Math.min(wished, SIZE - start);
          const free = !covered.slice(start, start + length).includes(true);
          assert.equal(coverage.add(start, length), free);
          if (free) covered.fill(true, start, start + length);
          assert.equal(coverage.isComplete(SIZE), !covered.includes(false));
        }
      }),
    );
  });

  it("is complete when every part has come, in whatever order", () => {
    fc.assert(
      fc.property(fc.shuffledSubarray([0, 1, 2, 3, 4, 5, 6, 7], { minLength: 8 }), (order) => {
        const coverage = createCoverage();
        for (const [index, part] of order.entries()) {
          assert.equal(coverage.isComplete(80), false);
          assert.equal(coverage.add(part * 10, 10), true);
          assert.equal(coverage.isComplete(80), index === 7);
        }
      }),
    );
  });
});
