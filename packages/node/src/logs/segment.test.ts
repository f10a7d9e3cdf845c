import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { newJobId } from "@mags/domain";
import fc from "fast-check";
import { decodeRecord, encodeRecord, encodeSegmentHeader, isSegmentHeader, type SegmentRecord } from "./segment.ts";

const records = fc.array(
  fc.record(
    {
      source: fc.constantFrom("stdout", "stderr", "system", "end"),
      seq: fc.integer({ min: -1, max: 2 ** 40 }),
      atMs: fc.nat(2 ** 40),
      bytes: fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
    },
    { noNullPrototype: true },
  ) as fc.Arbitrary<SegmentRecord>,
  { maxLength: 10 },
);

function decodeAll(buffer: Buffer): { readonly found: SegmentRecord[]; readonly end: number } {
  const found: SegmentRecord[] = [];
  let offset = 0;
  for (;;) {
    const decoded = decodeRecord(buffer, offset);
    if (decoded === "short" || decoded === "invalid") return { found, end: offset };
    found.push(decoded.record);
    offset = decoded.next;
  }
}

describe("segment records", () => {
  it("come back as they were written", () => {
    fc.assert(
      fc.property(records, (list) => {
        const { found, end } = decodeAll(Buffer.concat(list.flatMap(encodeRecord)));
        assert.deepEqual(found, list);
        assert.equal(
          end,
          list.reduce((sum, record) => sum + 28 + record.bytes.length, 0),
        );
      }),
    );
  });

  it("end where the file was cut, at a whole record", () => {
    fc.assert(
      fc.property(records, fc.nat(3_000), (list, cut) => {
        const whole = Buffer.concat(list.flatMap(encodeRecord));
        const { found } = decodeAll(whole.subarray(0, Math.min(cut, whole.length)));
        assert.deepEqual(found, list.slice(0, found.length));
      }),
    );
  });

  it("are refused when any bit is wrong", () => {
    const whole = Buffer.concat(encodeRecord({ source: "stdout", seq: 7, atMs: 1_234, bytes: Buffer.from("hello") }));
    for (let bit = 0; bit < whole.length * 8; bit++) {
      const broken = Buffer.from(whole);
      broken[bit >> 3] = (broken[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      assert.equal(typeof decodeRecord(broken, 0), "string", `bit ${bit}`);
    }
  });
});

describe("segment header", () => {
  it("names its job", () => {
    const job = newJobId();
    assert.ok(isSegmentHeader(encodeSegmentHeader(job), job));
    assert.ok(!isSegmentHeader(encodeSegmentHeader(newJobId()), job));
  });
});
