import assert from "node:assert/strict";
import { open, truncate } from "node:fs/promises";
import { join } from "node:path";
import { describe, it, mock } from "node:test";
import { setImmediate } from "node:timers/promises";
import { makeTempDir } from "@mags/test-kit";
import { isIntact, sealOf, storedBytes } from "./memory-file.ts";

const MIB = 1024 ** 2;
const { signal } = new AbortController();

async function writeAt(path: string, position: number, text: string): Promise<void> {
  await using file = await open(path, "a+").then(async (handle) => {
    await handle.close();
    return open(path, "r+");
  });
  await file.write(Buffer.from(text), 0, undefined, position);
}

describe("the seal of a memory file", () => {
  it("holds for a sparse file as long as nothing that is stored in it changes", async () => {
    await using temp = await makeTempDir();
    const path = join(temp.path, "memory");
    for (const at of [3, 5 * MIB + 77, 64 * MIB - 9]) await writeAt(path, at, `data at ${at}`);
    const seal = await sealOf(path);
    assert.ok((await storedBytes(path)) < MIB);
    assert.equal(await isIntact(path, seal, { signal }), true);
    await writeAt(path, 5 * MIB + 80, "X");
    assert.equal(await isIntact(path, seal, { signal }), false);
  });

  it("breaks when the file is cut or grows, or blocks are swapped", async () => {
    await using temp = await makeTempDir();
    const path = join(temp.path, "memory");
    await writeAt(path, 0, "one");
    await writeAt(path, MIB, "two");
    const seal = await sealOf(path);
    await truncate(path, 2 * MIB);
    assert.equal(await isIntact(path, seal, { signal }), false);
    await truncate(path, MIB + 3);
    assert.equal(await isIntact(path, seal, { signal }), true);
    await writeAt(path, 0, "two");
    await writeAt(path, MIB, "one");
    assert.equal(await isIntact(path, seal, { signal }), false);
  });

  it("cannot be had of a disk that is broken, which ends nothing else", async () => {
    await using temp = await makeTempDir();
    const path = join(temp.path, "memory");
    await writeAt(path, 4 * MIB, "data");
    await using handle = await open(path);
    let reads = 0;
    const broken = mock.method(Object.getPrototypeOf(handle), "read", async () => {
      reads++;
      if (reads === 1) await setImmediate(); // the others fail before it
      throw new Error(`EIO`);
    });
    await assert.rejects(sealOf(path), /EIO/);
    broken.mock.restore();
    assert.ok(reads > 1, "it reads ahead");
  });

  it("holds for an empty file", async () => {
    await using temp = await makeTempDir();
    const path = join(temp.path, "memory");
    await writeAt(path, 0, "");
    assert.equal(await isIntact(path, await sealOf(path), { signal }), true);
  });

  it("is given up when nobody needs the answer", async () => {
    await using temp = await makeTempDir();
    const path = join(temp.path, "memory");
    await writeAt(path, 0, "one");
    const gone = AbortSignal.abort(new Error("given up"));
    await assert.rejects(isIntact(path, await sealOf(path), { signal: gone }), /given up/);
  });
});
