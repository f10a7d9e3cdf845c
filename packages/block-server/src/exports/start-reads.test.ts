import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { silentLogger } from "@mags/core";
import { makeTempDir, waitFor } from "@mags/test-kit";
import { createStartReads } from "./start-reads.ts";

const newKey = () => ({ account: randomUUID() as string, workspace: randomUUID() as string });

describe("createStartReads", () => {
  it("knows what the last start of a workspace read, each chunk once, in order", async () => {
    await using dir = await makeTempDir();
    const starts = createStartReads(dir.path, { log: silentLogger });
    const key = newKey();
    assert.deepEqual(await starts.of(key), []);
    {
      await using notes = starts.note(key);
      for (const first of [9, 2, 8]) notes.onRead({ first, end: first + 2 });
    }
    assert.deepEqual(await starts.of(key), [9, 10, 2, 3, 8]);
    {
      await using notes = starts.note(key);
      notes.onRead({ first: 1, end: 2 });
    }
    assert.deepEqual(await starts.of(key), [1]);
    {
      await using _nothing = starts.note(key);
    }
    assert.deepEqual([await starts.of(key), await starts.of(newKey())], [[1], []]);
  });

  it("notes what is read first, for a while, and not more than it may", async () => {
    await using dir = await makeTempDir();
    const starts = createStartReads(dir.path, { log: silentLogger, notedMs: 50 });
    const key = newKey();
    await using notes = starts.note(key);
    notes.onRead({ first: 0, end: 5000 });
    await waitFor(async () => (await starts.of(key)).length > 0, { what: "the notes" });
    notes.onRead({ first: 6000, end: 6001 });
    assert.deepEqual(
      await starts.of(key),
      Array.from({ length: 1024 }, (_, n) => n),
    );
  });

  it("takes what is torn for nothing", async () => {
    await using dir = await makeTempDir();
    const starts = createStartReads(dir.path, { log: silentLogger });
    const key = newKey();
    {
      await using notes = starts.note(key);
      notes.onRead({ first: 1, end: 2 });
    }
    const [file] = await readdir(dir.path);
    for (const text of ["[1, ", '{"a":1}', '[1, -1, "x", 2]']) {
      await writeFile(join(dir.path, String(file)), text);
      assert.deepEqual(await starts.of(key), text.startsWith("[1, -") ? [1, 2] : []);
    }
  });
});
