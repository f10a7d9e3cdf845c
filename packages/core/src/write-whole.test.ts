import assert from "node:assert/strict";
import { type FileHandle, open, readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { makeTempDir } from "@mags/test-kit";
import { writeWhole } from "./write-whole.ts";

const BYTES = Buffer.from("0123456789".repeat(100));

/** Takes at most so many bytes at a time. */
const slow = (file: FileHandle, most: number): Pick<FileHandle, "write"> =>
  ({
    write: (bytes: Buffer, offset: number, length: number, position: number | null) =>
      file.write(bytes, offset, Math.min(length, most), position),
  }) as Pick<FileHandle, "write">; // of its forms only this one is called

describe("writeWhole", () => {
  it("writes all, one after the other or at a place, however little is taken at a time", async () => {
    await using dir = await makeTempDir();
    const path = join(dir.path, "file");
    await using file = await open(path, "w");
    await writeWhole(slow(file, 7), BYTES);
    await writeWhole(slow(file, 300), BYTES);
    await writeWhole(slow(file, 7), BYTES, { position: 3_000 });
    assert.deepEqual(await readFile(path), Buffer.concat([BYTES, BYTES, Buffer.alloc(1_000), BYTES]));
  });

  it("fails when nothing is taken", async () => {
    await using dir = await makeTempDir();
    await using file = await open(join(dir.path, "file"), "w");
    await assert.rejects(writeWhole(slow(file, 0), BYTES), { code: "ENOSPC", message: /only 0 of 1000 bytes/ });
  });
});
