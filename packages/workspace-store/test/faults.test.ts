import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createMemoryStore } from "@mags/object-store";
import { createFaultyStore, createSeededRandom } from "@mags/test-kit";
import { CHUNK_BYTES, readHead } from "../src/index.ts";
import { chunkOf, createTestStore, signal } from "./harness.ts";

const one = (seed: number) => new Map([[0, chunkOf(seed)]]);

function faulty() {
  const store = createFaultyStore(createMemoryStore(), { random: createSeededRandom(1) });
  return { store, test: createTestStore(store) };
}

describe("a publication", () => {
  it("that is cut off anywhere leaves what was published before, and the next one succeeds", async () => {
    for (const on of [/^put .*packs/, /^put .*versions/, /^put .*head/])
      for (const kind of ["busy", "full"] as const) {
        const { store, test } = faulty();
        const key = test.newKey();
        const lease = await test.lease(key);
        await test.publish(lease, one(1));
        store.inject({ kind, on });
        await assert.rejects(test.publish(lease, one(2)), { code: kind === "full" ? "disk_full" : "unavailable" });
        const before = await test.latest(key);
        assert.deepEqual(await before?.read(0, CHUNK_BYTES, { signal }), chunkOf(1));
        await test.publish(lease, one(3));
        const after = await test.latest(key);
        assert.deepEqual([after?.name.seq, await after?.read(0, CHUNK_BYTES, { signal })], [2, chunkOf(3)]);
      }
  });

  it("whose reply was lost is known by the next one, which is not made over it", async () => {
    const { store, test } = faulty();
    const key = test.newKey();
    const lease = await test.lease(key);
    await test.publish(lease, one(1));
    const parent = await test.latest(key);
    store.inject({ kind: "lost_reply", on: /^put .*head/ });
    await assert.rejects(test.publish(lease, one(2), { parent }), { code: "unavailable" });
    await assert.rejects(test.publish(lease, one(3), { parent }), { code: "unavailable", message: /not known of/ });
    await test.publish(lease, one(3));
    const head = (await readHead(store, key, { signal }))?.head;
    assert.deepEqual(
      head?.versions.map(({ seq }) => seq),
      [1, 2, 3],
    );
    assert.equal(head?.generation, 1, "nobody else had it");
    const now = await test.latest(key);
    assert.deepEqual(await now?.read(0, CHUNK_BYTES, { signal }), chunkOf(3));
  });

  it("reads nothing that is lost or damaged as if it were not", async () => {
    const { store, test } = faulty();
    const key = test.newKey();
    await test.publish(await test.lease(key), one(1));
    const read = async () => (await test.latest(key))?.read(0, CHUNK_BYTES, { signal });
    for (const kind of ["missing", "flipped"] as const) {
      store.inject({ kind, on: /^get .*packs/ });
      await assert.rejects(read(), { code: "chunk_corrupt" });
      store.inject({ kind, on: /^get .*versions/ });
      await assert.rejects(read(), { code: kind === "missing" ? "version_not_found" : "store_corrupt" });
    }
    store.inject({ kind: "busy", on: /^get .*packs/ });
    await assert.rejects(read(), { code: "unavailable" });
    assert.deepEqual(await read(), chunkOf(1));
  });
});
