import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { createByteCollector } from "./byte-collector.ts";

describe("createByteCollector", () => {
  it("keeps the first bytes of any pieces, and knows whether there were more", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 5_000 }), { maxLength: 8 }), fc.nat(12_000), (pieces, max) => {
        const collector = createByteCollector(max);
        for (const piece of pieces) collector.add(Buffer.from(piece));
        const all = Buffer.concat(pieces);
        assert.ok(collector.bytes.equals(all.subarray(0, max)));
        assert.equal(collector.truncated, all.length > max);
      }),
    );
  });

  it("takes hardly more memory than it keeps, however small the pieces are", () => {
    const collector = createByteCollector(1024 * 1024);
    const piece = Buffer.of(1);
    const before = process.memoryUsage();
    for (let n = 0; n < 1024 * 1024; n++) collector.add(piece);
    const after = process.memoryUsage();
    assert.equal(collector.bytes.length, 1024 * 1024);
    assert.equal(collector.truncated, false);
    const grown = after.heapUsed - before.heapUsed + after.external - before.external;
    assert.ok(grown < 64 * 1024 * 1024, `${grown} bytes`);
  });
});
