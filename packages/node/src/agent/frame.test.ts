import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { createFrameDecoder, encodeFrame, type Frame } from "./frame.ts";
import { ProtocolViolation } from "./violation.ts";
import { MAX_PAYLOAD_BYTES, PAD_BYTES } from "./wire.ts";

const frame = fc.record(
  {
    type: fc.nat(255),
    flags: fc.nat(7),
    id: fc.nat(0xffff_ffff),
    payload: fc
      .oneof(
        { weight: 8, arbitrary: fc.uint8Array({ maxLength: 40 }) },
        { weight: 1, arbitrary: fc.nat(MAX_PAYLOAD_BYTES).map((length) => new Uint8Array(length).fill(0x4d)) },
      )
      .map((bytes) => Buffer.from(bytes)),
  },
  { noNullPrototype: true },
);

/** Cuts `bytes` at the given fractions of its length. */
function split(bytes: Buffer, fractions: readonly number[]): Buffer[] {
  const cuts = fractions.map((fraction) => Math.floor(fraction * bytes.length)).toSorted((a, b) => a - b);
  return [0, ...cuts].map((start, n) => bytes.subarray(start, cuts[n] ?? bytes.length));
}

const fractions = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 30 });

describe("createFrameDecoder", () => {
  it("finds the frames of any sequence in any split of it", () => {
    let frames = 0;
    fc.assert(
      fc.property(fc.array(frame, { minLength: 40, maxLength: 80 }), fractions, (sequence, cuts) => {
        const decoder = createFrameDecoder();
        const found: Frame[] = [];
        for (const chunk of split(Buffer.concat(sequence.map(encodeFrame)), cuts))
          decoder.push(chunk, (next) => found.push(next));
        assert.deepEqual(found, sequence);
        assert.equal(decoder.heldBytes, 0);
        frames += found.length;
      }),
      { numRuns: 2_500 },
    );
    assert.ok(frames >= 100_000);
  });

  it("finds 100 000 frames that come a few bytes at a time, and holds at most one", () => {
    const count = 100_000;
    const one = encodeFrame({ type: 33, flags: 0, id: 7, payload: Buffer.from("some bytes") });
    const bytes = Buffer.concat(Array.from({ length: count }, () => one));
    const decoder = createFrameDecoder();
    let found = 0;
    for (let at = 0, step = 1; at < bytes.length; at += step, step = (step % 61) + 1) {
      decoder.push(bytes.subarray(at, at + step), () => found++);
      assert.ok(decoder.heldBytes < one.length);
    }
    assert.equal(found, count);
  });

  it("does not keep a large chunk alive for a small payload", () => {
    const small = encodeFrame({ type: 2, flags: 0, id: 1, payload: Buffer.alloc(100) });
    const large = encodeFrame({ type: 2, flags: 0, id: 1, payload: Buffer.alloc(60_000) });
    const chunk = Buffer.concat([small, large]);
    const shared: boolean[] = [];
    createFrameDecoder().push(chunk, ({ payload }) => shared.push(payload.buffer === chunk.buffer));
    assert.deepEqual(shared, [false, true]);
  });

  it("treats every other byte sequence as a violation or an unfinished frame, and never throws anything else", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 400 }), fractions, (garbage, cuts) => {
        const decoder = createFrameDecoder();
        try {
          for (const chunk of split(Buffer.from(garbage), cuts)) decoder.push(chunk, () => {});
        } catch (error) {
          assert.ok(error instanceof ProtocolViolation);
        }
        assert.ok(decoder.heldBytes <= PAD_BYTES);
      }),
      { numRuns: 5_000 },
    );
  });

  it("reports a change of any byte of magic, flags, length or trailer", () => {
    fc.assert(
      fc.property(
        frame,
        fc.constantFrom(0, 1, 8, 9, 10, 11, -4, -3, -2, -1),
        fc.integer({ min: 1, max: 255 }),
        (one, at, bits) => {
          const bytes = encodeFrame(one);
          const index = at < 0 ? bytes.length + at : at;
          bytes.writeUInt8(bytes.readUInt8(index) ^ bits, index);
          const decoder = createFrameDecoder();
          // Followed by zeros, so that a longer length finds a wrong trailer, too.
          const decode = () => decoder.push(Buffer.concat([bytes, Buffer.alloc(PAD_BYTES)]), () => {});
          assert.throws(decode, ProtocolViolation);
        },
      ),
      { numRuns: 500 },
    );
  });

  it("waits for the rest of a truncated frame without giving any of it away", () => {
    fc.assert(
      fc.property(frame, fc.double({ min: 0, max: 0.999, noNaN: true }), (one, fraction) => {
        const bytes = encodeFrame(one);
        const decoder = createFrameDecoder();
        const cut = Math.floor(bytes.length * fraction);
        decoder.push(bytes.subarray(0, cut), () => assert.fail("a frame too early"));
        assert.equal(decoder.heldBytes, cut);
      }),
    );
  });
});
