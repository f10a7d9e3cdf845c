import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { createByteReader } from "./byte-reader.ts";

async function* cut(bytes: Buffer, sizes: readonly number[]): AsyncGenerator<Buffer, void, void> {
  for (let at = 0, n = 0; at < bytes.length; n++) {
    const size = sizes[n % sizes.length] ?? 1;
    yield bytes.subarray(at, at + size);
    at += size;
  }
}

describe("createByteReader", () => {
  it("gives the same bytes however they come and are asked for, and rejects at the end", async () => {
    const call = fc.record({ how: fc.constantFrom("take", "some", "skip"), length: fc.integer({ min: 0, max: 50 }) });
    const sizes = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 5 });
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), sizes, fc.array(call), async (content, cuts, calls) => {
        const bytes = Buffer.from(content);
        const reader = createByteReader(cut(bytes, cuts));
        let at = 0;
        for (const { how, length } of calls) {
          if (at + length > bytes.length) {
            await assert.rejects(reader.take(length), /the stream ended/);
            return;
          }
          if (how === "skip") await reader.skip(length);
          else if (how === "take") assert.deepEqual(await reader.take(length), bytes.subarray(at, at + length));
          else if (length > 0) {
            const piece = await reader.some(length);
            assert.ok(piece.length > 0 && piece.length <= length);
            assert.deepEqual(piece, bytes.subarray(at, at + piece.length));
            at += piece.length - length;
          }
          at += length;
        }
      }),
    );
  });
});
