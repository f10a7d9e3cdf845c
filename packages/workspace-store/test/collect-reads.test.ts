import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { ObjectStore } from "@mags/object-store";
import { collect, createKnownPacks } from "../src/index.ts";
import { chunkOf, createTestStore, HOUR_MS, signal } from "./harness.ts";

describe("a look of the collector", () => {
  it("reads several manifests at a time, and those only that no look before has read", async () => {
    const test = createTestStore();
    const lease = await test.lease(test.newKey());
    const publish = (seed: number, keep = 1000) => test.publish(lease, new Map([[0, chunkOf(seed)]]), { keep });
    for (let seed = 1; seed <= 20; seed++) await publish(seed);
    let [reads, inside, most] = [0, 0, 0];
    const store: ObjectStore = {
      ...test.store,
      async get(key, options) {
        if (!key.includes("/versions/")) return test.store.get(key, options);
        reads++;
        most = Math.max(most, ++inside);
        await new Promise(setImmediate);
        return test.store.get(key, options).finally(() => inside--);
      },
    };
    const known = createKnownPacks();
    const look = async () => {
      reads = 0;
      const { removed } = await collect(store, {
        ...{ account: test.account, graceMs: 24 * HOUR_MS, clock: test.clock, pinned: async () => [], known, signal },
      });
      test.clock.pass(HOUR_MS);
      return { reads, removed };
    };
    assert.deepEqual(await look(), { reads: 20, removed: [] });
    assert.ok(most > 1 && most <= 8, `${most} at a time`);
    assert.equal((await look()).reads, 0);
    await publish(21, 1);
    assert.equal((await look()).reads, 1);
    const removed: string[] = [];
    for (let hour = 0; hour < 60; hour++) removed.push(...(await look()).removed);
    const [manifests, packs] = [/\/versions\//, /\/packs\//].map((what) => removed.filter((key) => what.test(key)));
    assert.deepEqual([manifests?.length, packs?.length], [20, 20], "as without what it knows");
    assert.deepEqual(await (await test.latest(lease))?.read(0, chunkOf(21).length, { signal }), chunkOf(21));
  });
});
