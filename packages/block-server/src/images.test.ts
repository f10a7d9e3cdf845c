import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { type Clock, silentLogger } from "@mags/core";
import { createMemoryStore } from "@mags/object-store";
import { createFaultyStore, createSeededRandom, makeTempDir } from "@mags/test-kit";
import { createImages } from "./images.ts";

const HOUR_MS = 3_600_000;
const { signal } = new AbortController();

async function bench(graceMs: number) {
  await using scope = new AsyncDisposableStack();
  const dir = scope.use(await makeTempDir());
  const disk = join(dir.path, "disk");
  await writeFile(disk, "an image");
  const digest = `sha256:${createHash("sha256").update("an image").digest("hex")}`;
  const store = createFaultyStore(createMemoryStore(), { random: createSeededRandom(1) });
  let nowMs = 0;
  const clock: Clock = { now: () => new Date(nowMs), monotonicMs: () => nowMs, bootMs: () => nowMs };
  const images = scope.use(createImages({ store, graceMs, clock, log: silentLogger }));
  const owned = scope.move();
  return {
    ...{ store, digest, images },
    keep: () => images.keep({ name: "tiny", digest, disk, caBundle: null }, { signal }),
    async keyOf(what: RegExp) {
      for await (const { key } of store.list("images/", { signal })) if (what.test(key)) return key;
      return undefined;
    },
    pass: (ms: number) => {
      nowMs += ms;
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

const DESCRIPTOR = /\/image$/;
const PART = /\/000000$/;

describe("images of a block server", () => {
  it("count as kept for an hour, so that one that was removed in the store is sent again then", async () => {
    await using test = await bench(24 * HOUR_MS);
    const { store, images, digest, keep, keyOf, pass } = test;
    assert.equal(images.wasKept(digest), false);
    await keep();
    assert.equal(images.wasKept(digest), true);
    const key = await keyOf(DESCRIPTOR);
    assert.ok(key);
    await store.delete(key);
    pass(HOUR_MS - 1);
    assert.equal(images.wasKept(digest), true);
    pass(1);
    assert.equal(images.wasKept(digest), false);
    await keep();
    assert.equal(await keyOf(DESCRIPTOR), key);
  });

  it("count on no parts of an upload that failed, once the collector may have removed them", async () => {
    const graceMs = 2 * HOUR_MS;
    await using test = await bench(graceMs);
    const { store, images, keep, keyOf, pass } = test;
    store.inject({ kind: "busy", on: /^put .*image$/ });
    await assert.rejects(keep(), { code: "unavailable" });
    for (let looks = 0; await keyOf(PART); looks++) {
      assert.ok(looks < 30);
      await images.collect({ signal });
      pass(graceMs / 24);
    }
    await keep();
    assert.ok(await keyOf(DESCRIPTOR));
    assert.ok(await keyOf(PART));
  });
});
