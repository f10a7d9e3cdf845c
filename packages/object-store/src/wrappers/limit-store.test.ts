import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { collectAll, createFaultyStore, createSeededRandom } from "@mags/test-kit";
import { createMemoryStore } from "../memory/memory-store.ts";
import type { ObjectStore } from "../object-store.ts";
import { limitStore } from "./limit-store.ts";

/** Counts the calls that are under way, each of which takes a turn of the event loop. */
function countCalls(store: ObjectStore) {
  let inside = 0;
  let most = 0;
  const counted = {
    ...store,
    async get(...args: Parameters<ObjectStore["get"]>) {
      most = Math.max(most, ++inside);
      await new Promise(setImmediate);
      inside--;
      return store.get(...args);
    },
  };
  return { counted, most: () => most };
}

describe("limitStore", () => {
  it("lets so many calls at a time through, and all in the end", async () => {
    const memory = createMemoryStore();
    await memory.put("key", Buffer.from("bytes"));
    const { counted, most } = countCalls(memory);
    const store = limitStore(counted, { concurrency: 3 });
    const found = await Promise.all(Array.from({ length: 20 }, () => store.get("key")));
    assert.equal(found.length, 20);
    assert.equal(most(), 3);
  });

  it("lets the reader of a listing make calls, also one at a time", async () => {
    const store = limitStore(createMemoryStore(), { concurrency: 1 });
    for (const key of ["a", "b"]) await store.put(key, Buffer.from(key));
    const read: string[] = [];
    for await (const { key } of store.list("")) read.push((await store.get(key)).bytes.toString());
    assert.deepEqual(read, ["a", "b"]);
  });

  it("goes on after failures", async () => {
    const faulty = createFaultyStore(createMemoryStore(), { random: createSeededRandom(1) });
    faulty.inject({ kind: "busy", on: /./, times: 5 });
    const store = limitStore(faulty, { concurrency: 1 });
    for (let turn = 0; turn < 5; turn++) await assert.rejects(store.head("key"));
    assert.equal(await store.head("key"), undefined);
  });

  it("lets a call that waits for its turn end with its signal", async () => {
    const faulty = createFaultyStore(createMemoryStore(), { random: createSeededRandom(1) });
    faulty.inject({ kind: "stall", on: /first/ });
    const store = limitStore(faulty, { concurrency: 1 });
    const [first, second] = [new AbortController(), new AbortController()];
    const stalled = store.head("first", { signal: first.signal });
    const waiting = store.head("second", { signal: second.signal });
    const reason = new Error("enough");
    second.abort(reason);
    await assert.rejects(waiting, reason);
    first.abort(reason);
    await assert.rejects(stalled, reason);
    assert.deepEqual(faulty.calls, ["head first"]);
    assert.deepEqual(await collectAll(store.list("")), []);
  });
});
