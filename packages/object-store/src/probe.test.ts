import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { isAppError } from "@mags/core";
import { collectAll, createFaultyStore, createSeededRandom } from "@mags/test-kit";
import { createMemoryStore } from "./memory/memory-store.ts";
import type { ObjectStore } from "./object-store.ts";
import { probeObjectStore } from "./probe.ts";

/** A memory store with some of its calls in another way. */
function storeWith(change: (store: ObjectStore) => Partial<ObjectStore>) {
  const memory = createMemoryStore();
  return { memory, store: { ...memory, ...change(memory) } };
}

const WRONG: readonly [string, RegExp, (store: ObjectStore) => Partial<ObjectStore>][] = [
  [
    "writes over what is there",
    /only if there is none \(If-None-Match: \*\)/,
    (store) => ({
      put: (key, bytes, { ifMatch } = {}) => store.put(key, bytes, ifMatch === undefined ? {} : { ifMatch }),
    }),
  ],
  [
    "writes over a newer version",
    /only for an older version \(If-Match\)/,
    (store) => ({ put: (key, bytes, { ifAbsent } = {}) => store.put(key, bytes, ifAbsent ? { ifAbsent } : {}) }),
  ],
  [
    "looks first and writes then",
    /let [2-6] of 6 conditional writes/,
    (store) => ({
      async put(key, bytes, options = {}) {
        const head = await store.head(key);
        const holds = options.ifAbsent ? !head : options.ifMatch === undefined || options.ifMatch === head?.etag;
        await new Promise(setImmediate);
        return store.put(key, bytes, holds ? {} : options);
      },
    }),
  ],
  ["knows no ranges", /other bytes than those of a range/, (store) => ({ get: (key) => store.get(key) })],
  [
    "shows what was there before",
    /does not list what was written/,
    (store) => ({
      async *list(prefix) {
        for await (const object of store.list(prefix)) if (!object.key.endsWith("read")) yield object;
      },
    }),
  ],
  ["removes nothing", /shows an object that was removed/, () => ({ async delete() {} })],
  [
    "gives other bytes",
    /other bytes than it was given/,
    (store) => ({ get: async (key, options) => ({ ...(await store.get(key, options)), bytes: Buffer.from("x") }) }),
  ],
];

describe("probeObjectStore", () => {
  it("says nothing of a store that does all of it, and leaves nothing", async () => {
    const store = createMemoryStore();
    await store.put("own", Buffer.from("own"));
    await probeObjectStore(store);
    assert.deepEqual(
      (await collectAll(store.list(""))).map(({ key }) => key),
      ["own"],
    );
  });

  for (const [what, message, change] of WRONG)
    it(`finds out a store that ${what}`, async () => {
      const { store, memory } = storeWith(change);
      await assert.rejects(
        probeObjectStore(store),
        (error: Error) =>
          isAppError(error, "object_store_unfit") &&
          message.test(error.message) &&
          error.message.startsWith("the object store memory "),
      );
      if (what !== "removes nothing") assert.deepEqual(await collectAll(memory.list("")), []);
    });

  it("passes on what the store throws, and removes what it wrote", async () => {
    const memory = createMemoryStore();
    const faulty = createFaultyStore(memory, { random: createSeededRandom(1) });
    faulty.inject({ kind: "busy", on: /^list/ });
    await assert.rejects(probeObjectStore(faulty), (error) => isAppError(error, "unavailable"));
    assert.deepEqual(await collectAll(memory.list("")), []);
  });
});
