import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { silentLogger } from "@mags/core";
import { createMemoryStore, type ObjectStore } from "@mags/object-store";
import { createFaultyStore, createSeededRandom } from "@mags/test-kit";
import { createFitness } from "./fitness.ts";

const { signal } = new AbortController();
const log = silentLogger;

describe("createFitness", () => {
  it("finds out once that a store is fit", async () => {
    const store = createFaultyStore(createMemoryStore(), { random: createSeededRandom(1) });
    const fitness = createFitness({ store, log }, { signal });
    await fitness({ signal });
    const calls = store.calls.length;
    assert.ok(calls > 0);
    await fitness({ signal });
    assert.equal(store.calls.length, calls);
  });

  it("finds out that it knows no conditions, for good", async () => {
    const memory = createMemoryStore();
    let puts = 0;
    const store: ObjectStore = {
      ...memory,
      put(key, bytes) {
        puts++;
        return memory.put(key, bytes);
      },
    };
    const fitness = createFitness({ store, log }, { signal });
    await assert.rejects(fitness({ signal }), { code: "object_store_unfit" });
    const before = puts;
    await assert.rejects(fitness({ signal }), { code: "object_store_unfit" });
    assert.equal(puts, before);
  });

  it("tries again when the store was away", async () => {
    const store = createFaultyStore(createMemoryStore(), { random: createSeededRandom(1) });
    store.inject({ kind: "busy", on: /^put probe/, times: 1 });
    const fitness = createFitness({ store, log }, { signal });
    await assert.rejects(fitness({ signal }), { code: "unavailable" });
    await fitness({ signal });
  });

  it("is not waited for by who has gone", async () => {
    const store = createFaultyStore(createMemoryStore(), { random: createSeededRandom(1) });
    store.inject({ kind: "stall", on: /^put probe/ });
    const ending = new AbortController();
    const fitness = createFitness({ store, log }, { signal: ending.signal });
    await assert.rejects(fitness({ signal: AbortSignal.abort(new Error("gone")) }), /gone/);
    ending.abort(new Error("the end"));
    await assert.rejects(fitness({ signal }), /the end/);
  });
});
