import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { type Clock, silentLogger } from "@mags/core";
import { createMemoryStore } from "@mags/object-store";
import { makeTempDir } from "@mags/test-kit";
import { createImages } from "./images.ts";

const HOUR_MS = 3_600_000;
const { signal } = new AbortController();

describe("images of a block server", () => {
  it("count as kept for an hour, so that one that was removed in the store is sent again then", async () => {
    await using dir = await makeTempDir();
    const disk = join(dir.path, "disk");
    await writeFile(disk, "an image");
    const digest = `sha256:${createHash("sha256").update("an image").digest("hex")}`;
    const store = createMemoryStore();
    let nowMs = 0;
    const clock: Clock = { now: () => new Date(nowMs), monotonicMs: () => nowMs, bootMs: () => nowMs };
    await using images = createImages({ store, graceMs: 24 * HOUR_MS, clock, log: silentLogger });
    const keep = () => images.keep({ name: "tiny", digest, disk, caBundle: null }, { signal });
    const descriptor = async () => {
      for await (const { key } of store.list("images/", { signal })) if (key.endsWith("/image")) return key;
      return undefined;
    };
    assert.equal(images.wasKept(digest), false);
    await keep();
    assert.equal(images.wasKept(digest), true);
    const key = await descriptor();
    assert.ok(key);
    await store.delete(key);
    nowMs += HOUR_MS - 1;
    assert.equal(images.wasKept(digest), true);
    nowMs += 1;
    assert.equal(images.wasKept(digest), false);
    await keep();
    assert.equal(await descriptor(), key);
  });
});
