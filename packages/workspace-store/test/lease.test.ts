import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { readHead } from "../src/index.ts";
import { chunkOf, createTestStore, HOUR_MS, signal } from "./harness.ts";

const one = new Map([[0, chunkOf(1)]]);

describe("a lease", () => {
  it("is held against others until it has expired, and some more for clocks that differ", async () => {
    const { clock, newKey, lease } = createTestStore();
    const key = newKey();
    await lease(key, { holder: "a", ttlMs: HOUR_MS });
    await assert.rejects(lease(key, { holder: "b" }), { code: "lease_held", message: /a may write/ });
    clock.pass(HOUR_MS + 1000);
    await assert.rejects(lease(key, { holder: "b" }), { code: "lease_held" });
    clock.pass(60_000);
    assert.equal((await lease(key, { holder: "b" })).generation, 2);
  });

  it("is taken again by its holder at once, and the earlier one of that holder is over", async () => {
    const { newKey, lease, publish } = createTestStore();
    const key = newKey();
    const before = await lease(key);
    const after = await lease(key);
    await publish(after, one);
    await assert.rejects(publish(before, one), { code: "lease_lost" });
    assert.deepEqual([before.generation, after.generation, after.head.versions.length], [1, 2, 1]);
  });

  it("that expired and that nobody took is still good", async () => {
    const { clock, newKey, lease, publish } = createTestStore();
    const mine = await lease(newKey(), { ttlMs: 1000 });
    clock.pass(100 * HOUR_MS);
    assert.equal((await publish(mine, one)).version.seq, 1);
    assert.ok(mine.expiresAt > clock.now());
  });

  it("that was lost lets nothing be published by the one who does not know it", async () => {
    const { store, clock, newKey, lease, publish, latest } = createTestStore();
    const key = newKey();
    const paused = await lease(key, { holder: "a", ttlMs: 1000 });
    await publish(paused, one);
    const parent = await latest(key);
    clock.pass(HOUR_MS);
    const other = await lease(key, { holder: "b" });
    await publish(other, new Map([[0, chunkOf(2)]]));
    await assert.rejects(publish(paused, new Map([[0, chunkOf(3)]]), { parent }), { code: "lease_lost" });
    await assert.rejects(
      paused.update((head) => head, { signal }),
      { code: "lease_lost", message: /^b took/ },
    );
    const head = (await readHead(store, key, { signal }))?.head;
    assert.deepEqual([head?.generation, head?.versions.length], [2, 2]);
    const now = await latest(key);
    assert.deepEqual(await now?.read(0, chunkOf(2).length, { signal }), chunkOf(2));
  });

  it("goes to one of many who want it at once", async () => {
    const { clock, newKey, lease } = createTestStore();
    const key = newKey();
    await lease(key, { holder: "a", ttlMs: 1000 });
    clock.pass(HOUR_MS);
    const all = await Promise.allSettled(Array.from({ length: 20 }, (_, i) => lease(key, { holder: `n${i}` })));
    assert.equal(all.filter(({ status }) => status === "fulfilled").length, 1);
    const losers = all.flatMap((result) =>
      result.status === "rejected" ? [(result.reason as { code: string }).code] : [],
    );
    assert.deepEqual(new Set(losers), new Set(["lease_held"]));
  });

  it("is taken from one who is known to be gone", async () => {
    const { newKey, lease, publish } = createTestStore();
    const key = newKey();
    const gone = await lease(key, { holder: "a" });
    await lease(key, { holder: "b", force: true });
    await assert.rejects(publish(gone, one), { code: "lease_lost" });
  });

  it("is free after its release, which may be repeated", async () => {
    const { newKey, lease, publish } = createTestStore();
    const key = newKey();
    const mine = await lease(key, { holder: "a" });
    await mine.release({ signal });
    await mine.release({ signal });
    await assert.rejects(publish(mine, one), { code: "lease_lost" });
    assert.equal((await lease(key, { holder: "b" })).generation, 2);
  });

  it("keeps fields of a head that it does not know", async () => {
    const { store, newKey, lease } = createTestStore();
    const key = newKey();
    const mine = await lease(key);
    await mine.update((head) => ({ ...head, later: { added: true } }), { signal });
    const again = await lease(key);
    await again.update((head) => head, { signal });
    const stored: unknown = (await readHead(store, key, { signal }))?.head;
    assert.deepEqual((stored as { later?: unknown }).later, { added: true });
  });
});
