import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { differsInNotesOnly } from "./superblock-notes.ts";

const SUPERBLOCK = 1024;

const BYTES = 8192;
/** The start of a disk, with a number of everything in its superblock. */
const START = Buffer.from(Array.from({ length: BYTES }, (_, i) => (i * 7) % 251));
START.writeUInt16LE(0xef53, SUPERBLOCK + 0x38);

function changed(at: number): Buffer {
  const bytes = Buffer.from(START);
  bytes.writeUInt8((bytes[at] ?? 0) ^ 1, at);
  return bytes;
}

describe("differsInNotesOnly", () => {
  it("passes over when and how much was written, and the checksum, and over no other byte", () => {
    const passedOver = Array.from({ length: BYTES }, (_, at) => at).filter((at) =>
      differsInNotesOnly(START, changed(at)),
    );
    const run = (offset: number, length: number) => Array.from({ length }, (_, i) => SUPERBLOCK + offset + i);
    assert.deepEqual(passedOver, [...run(0x30, 4), ...run(0x178, 8), ...run(0x274, 1), ...run(0x3fc, 4)]);
  });

  it("says yes to what is the same, and no to what is no ext4 or another length", () => {
    assert.ok(differsInNotesOnly(START, START));
    assert.ok(!differsInNotesOnly(Buffer.alloc(BYTES), Buffer.alloc(BYTES)));
    assert.ok(!differsInNotesOnly(START, START.subarray(0, BYTES / 2)));
    assert.ok(!differsInNotesOnly(Buffer.alloc(10), Buffer.alloc(10)));
  });
});
