import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { constants, zstdCompressSync } from "node:zlib";
import type { RuntimeRoot } from "@mags/runtime-root";
import { makeTempDir } from "@mags/test-kit";
import fc from "fast-check";
import { compressionOf, decompress } from "./compression.ts";

/** A frame without data (RFC 8878, 3.1.2). */
function skippable(content: Buffer, kind: number): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt32LE(0x184d2a50 + kind, 0);
  head.writeUInt32LE(content.length, 4);
  return Buffer.concat([head, content]);
}

const signal = new AbortController().signal;
/** Only xz takes a program. */
const DEPS = { runtime: {} as RuntimeRoot, uid: 0 };

async function plainOf(bytes: Buffer): Promise<Buffer> {
  await using temp = await makeTempDir();
  const source = {
    length: bytes.length,
    read: async (offset: number, length: number) => bytes.subarray(offset, offset + length),
  };
  assert.equal(await compressionOf(source), "zstd");
  const target = join(temp.path, "plain");
  await decompress(DEPS, source, { compression: "zstd", target, budget: { take() {} }, signal });
  return await readFile(target);
}

const ONE = Buffer.alloc(300_000, "one");
const TWO = Buffer.from("two");

describe("decompress of zstd", () => {
  it("gives what all frames hold, whatever their headers leave out, and skips those without data", async () => {
    const content = fc.oneof(
      fc.uint8Array({ maxLength: 2000 }).map((bytes) => Buffer.from(bytes)),
      fc.nat(700_000).map((length) => Buffer.alloc(length, "long enough for several blocks")),
    );
    const data = fc.record({ content, checksum: fc.boolean(), size: fc.boolean() }).map((frame) => ({
      plain: frame.content,
      packed: zstdCompressSync(frame.content, {
        params: {
          [constants.ZSTD_c_checksumFlag]: Number(frame.checksum),
          [constants.ZSTD_c_contentSizeFlag]: Number(frame.size),
        },
      }),
    }));
    const other = fc
      .tuple(fc.uint8Array({ maxLength: 50 }), fc.nat(15))
      .map(([bytes, kind]) => ({ plain: Buffer.alloc(0), packed: skippable(Buffer.from(bytes), kind) }));
    await fc.assert(
      fc.asyncProperty(fc.array(fc.oneof(data, other), { minLength: 1, maxLength: 5 }), async (frames) => {
        const plain = await plainOf(Buffer.concat(frames.map(({ packed }) => packed)));
        assert.ok(plain.equals(Buffer.concat(frames.map((frame) => frame.plain))));
      }),
      { numRuns: 40 },
    );
  });

  it("never gives less: data that are cut anywhere, or go on as something else, are refused", async () => {
    const [one, two] = [zstdCompressSync(ONE), zstdCompressSync(TWO)];
    const whole = Buffer.concat([one, skippable(Buffer.from("note"), 3), two]);
    const ends = [one.length, whole.length - two.length];
    for (let length = 4; length < whole.length; length++)
      if (!ends.includes(length))
        await assert.rejects(plainOf(whole.subarray(0, length)), {
          code: "validation_failed",
          message: /zstd data are damaged or cut short/,
        });
    for (const more of ["x", "more", "\0\0\0\0\0\0\0\0"])
      await assert.rejects(plainOf(Buffer.concat([whole, Buffer.from(more)])), {
        code: "validation_failed",
        message: new RegExp(`there is no frame at byte ${whole.length}`),
      });
  });
});
