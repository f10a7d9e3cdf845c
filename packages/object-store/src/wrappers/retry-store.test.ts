import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { AppError, isAppError, silentLogger, sleep } from "@mags/core";
import { collectAll, createFaultyStore, createSeededRandom, type Fault } from "@mags/test-kit";
import { createMemoryStore } from "../memory/memory-store.ts";
import type { ObjectStore } from "../object-store.ts";
import { retryStore } from "./retry-store.ts";

const random = createSeededRandom(1);

function makeStores({ faults = [] as readonly Fault[], deadlineMs = 60_000, firstPauseMs = 1 } = {}) {
  const plain = createMemoryStore();
  const faulty = createFaultyStore(plain, { random });
  for (const fault of faults) faulty.inject(fault);
  const options = { deadlineMs, firstPauseMs, maxPauseMs: 4 };
  return { plain, faulty, store: retryStore(faulty, { log: silentLogger, random: random.next }, options) };
}

const text = async (store: ObjectStore, key: string) => (await store.get(key)).bytes.toString();
const bytes = Buffer.from("bytes");

describe("retryStore", () => {
  it("tries again what was not available, and nothing else", async () => {
    const { store, faulty } = makeStores({ faults: [{ kind: "busy", on: /./, times: 3 }] });
    await store.put("key", bytes);
    assert.deepEqual(
      faulty.calls,
      Array.from({ length: 4 }, () => "put key"),
    );
    faulty.inject({ kind: "full", on: /^put/ });
    await assert.rejects(store.put("key", bytes), (error) => isAppError(error, "disk_full"));
    const failure = new TypeError("our own mistake");
    faulty.inject({ kind: failure, on: /^get/ });
    await assert.rejects(store.get("key"), failure);
    assert.equal(faulty.calls.length, 6);
    faulty.inject({ kind: "busy", on: /./, times: 2 });
    assert.equal((await store.head("key"))?.sizeBytes, 5);
    faulty.inject({ kind: "lost_reply", on: /^delete/, times: 2 });
    await store.delete("key");
    assert.equal(await store.head("key"), undefined);
  });

  it("lets a write, or the read of a range, that was begun in time take as long as a slow network needs for its bytes", async () => {
    const { plain } = makeStores();
    const network = async (signal: AbortSignal | undefined) => {
      await sleep(50); // timers that end before have been called then, on a busy machine, too
      signal?.throwIfAborted();
    };
    const slow: ObjectStore = {
      ...plain,
      async get(key, options) {
        await network(options?.signal);
        return plain.get(key, options);
      },
      async put(key, all, options) {
        await network(options?.signal);
        return plain.put(key, all, options);
      },
    };
    const options = { deadlineMs: 10, firstPauseMs: 1, maxPauseMs: 4 };
    const store = retryStore(slow, { log: silentLogger, random: random.next }, options);
    await store.put("large", Buffer.alloc(1 << 20));
    assert.equal((await store.get("large", { range: { start: 0, end: 1 << 20 } })).bytes.length, 1 << 20);
    const short = { range: { start: 0, end: 1 } };
    for (const call of [() => store.put("small", bytes), () => store.get("large"), () => store.get("large", short)])
      await assert.rejects(call, (error) => isAppError(error, "unavailable"));
  });

  it("knows a conditional write whose reply was lost as its own", async () => {
    const { store, plain } = makeStores({ faults: [{ kind: "lost_reply", on: /^put/ }] });
    const { etag } = await store.put("key", bytes, { ifAbsent: true });
    assert.equal((await plain.head("key"))?.etag, etag);
    const next = makeStores({
      faults: [
        { kind: "lost_reply", on: /^put/ },
        { kind: "busy", on: /^get/, times: 2 },
      ],
    });
    const before = await next.plain.put("key", Buffer.from("before"));
    await next.store.put("key", bytes, { ifMatch: before.etag });
    assert.equal(await text(next.plain, "key"), "bytes");
  });

  it("does not take another's write for its own", async () => {
    const { store, faulty, plain } = makeStores({ faults: [{ kind: "busy", on: /^put/ }] });
    await plain.put("key", Buffer.from("another's"));
    await assert.rejects(store.put("key", bytes, { ifAbsent: true }), (error) =>
      isAppError(error, "precondition_failed"),
    );
    assert.deepEqual(faulty.calls, ["put key", "put key", "get key"]);
    faulty.inject({ kind: "busy", on: /^put/ });
    await assert.rejects(store.put("none", bytes, { ifMatch: "x" }), (error) =>
      isAppError(error, "precondition_failed"),
    );
  });

  it("believes a refusal that no lost reply came before, without reading", async () => {
    const { store, faulty } = makeStores();
    await store.put("key", bytes);
    await assert.rejects(store.put("key", bytes, { ifAbsent: true }), (error) =>
      isAppError(error, "precondition_failed"),
    );
    assert.deepEqual(faulty.calls, ["put key", "put key"]);
  });

  it("goes on in a listing where it broke off", async () => {
    const faults: Fault[] = ["list", "next b", "next b", "next d", "list"].map((label) => ({
      kind: "busy",
      on: new RegExp(`^${label}`),
    }));
    const { store, plain } = makeStores({ faults });
    for (const key of ["a", "b", "c", "d"]) await plain.put(key, bytes);
    assert.deepEqual(
      (await collectAll(store.list(""))).map(({ key }) => key),
      ["a", "b", "c", "d"],
    );
  });

  it("gives up at the deadline, with the last reason as the cause", async () => {
    const { store } = makeStores({ faults: [{ kind: "busy", on: /./, times: 1_000 }], deadlineMs: 30 });
    for (const call of [() => store.get("key"), () => collectAll(store.list(""))])
      await assert.rejects(
        call,
        (error: Error) =>
          isAppError(error, "unavailable") &&
          /given up after 0.03 s/.test(error.message) &&
          /on purpose/.test(String(error.cause)),
      );
  });

  it("ends an attempt that stalls at the deadline", async () => {
    const { store } = makeStores({ faults: [{ kind: "stall", on: /./ }], deadlineMs: 30 });
    await assert.rejects(
      store.get("key"),
      (error: Error) => isAppError(error, "unavailable") && /given up/.test(error.message),
    );
  });

  it("waits as long as the store asks for", async () => {
    const busy = new AppError("unavailable", "come back later", { retryAfterSeconds: 3_600 });
    const { store, faulty } = makeStores({ faults: [{ kind: busy, on: /./ }] });
    await assert.rejects(store.get("key"), /given up/);
    assert.deepEqual(faulty.calls, ["get key"]);
  });

  it("ends with its caller's signal, in a pause and in an attempt", async () => {
    for (const kind of ["busy", "stall"] as const) {
      const { store, faulty } = makeStores({ faults: [{ kind, on: /./, times: 1_000_000 }], firstPauseMs: 4 });
      const stop = new AbortController();
      const reason = new Error("enough");
      const calls = [
        store.get("key", { signal: stop.signal }),
        store.put("key", bytes, { signal: stop.signal }),
        collectAll(store.list("", { signal: stop.signal })),
      ];
      const settled = Promise.allSettled(calls);
      while (faulty.calls.length < 3) await new Promise(setImmediate);
      stop.abort(reason);
      for (const outcome of await settled) assert.deepEqual(outcome, { status: "rejected", reason });
    }
  });
});
