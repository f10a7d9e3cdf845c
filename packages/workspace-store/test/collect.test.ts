import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it } from "node:test";
import {
  CHUNK_BYTES,
  type Collected,
  collect,
  createVersionWriter,
  deleteWorkspace,
  lookIntervalMs,
  readHead,
  type VersionName,
  type VersionWriter,
  type WorkspaceKey,
} from "../src/index.ts";
import { chunkOf, createTestStore, HOUR_MS, IMAGE, signal, type TestStore } from "./harness.ts";

const DAY_MS = 24 * HOUR_MS;
const look = (test: TestStore, pins: readonly VersionName[] = [], { graceMs = DAY_MS } = {}): Promise<Collected> =>
  collect(test.store, {
    account: test.account,
    graceMs,
    clock: test.clock,
    pinned: async () => pins,
    signal,
  });

/** A look an hour. */
async function looks(test: TestStore, hours: number, pins: readonly VersionName[] = []): Promise<string[]> {
  const removed: string[] = [];
  for (let hour = 0; hour < hours; hour++) {
    removed.push(...(await look(test, pins)).removed);
    test.clock.pass(HOUR_MS);
  }
  return removed;
}

async function keysOf({ store }: TestStore): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of store.list("", { signal })) keys.push(key);
  return keys;
}

const chunks = (from: number, count: number) =>
  new Map(Array.from({ length: count }, (_, i): [number, Buffer] => [i, chunkOf(from + i)]));

/** It has written more than a pack. */
async function begunWriter(test: TestStore, key: WorkspaceKey): Promise<VersionWriter> {
  const writer = createVersionWriter(
    { store: test.store, lease: await test.lease(key), clock: test.clock },
    { parent: undefined, image: IMAGE, diskBytes: 2048 * CHUNK_BYTES },
  );
  for (let index = 0; index < 700; index++) await writer.put(index, chunkOf(index + 1));
  return writer;
}

describe("lookIntervalMs", () => {
  it("has a deleted workspace gone after the time of grace twice, also where that is short", async () => {
    for (const graceMs of [2 * HOUR_MS, DAY_MS, 100 * HOUR_MS]) {
      const test = createTestStore();
      const key = test.newKey();
      await test.publish(await test.lease(key), chunks(1, 3));
      await deleteWorkspace(test.store, key, { clock: test.clock, signal });
      const begunMs = test.clock.bootMs();
      const isThere = async () => (await keysOf(test)).some((one) => !one.endsWith("/condemned"));
      do {
        await look(test, [], { graceMs });
        if (await isThere()) test.clock.pass(lookIntervalMs(graceMs));
      } while (await isThere());
      const passedMs = test.clock.bootMs() - begunMs;
      const looksBetween = passedMs - 2 * graceMs;
      assert.ok(looksBetween >= 0 && looksBetween <= 3 * lookIntervalMs(graceMs), `${passedMs} of ${graceMs}`);
    }
  });
});

describe("collect", () => {
  it("removes dropped versions and what only they used, when they have been garbage for the time of grace", async () => {
    const test = createTestStore();
    const key = test.newKey();
    const mine = await test.lease(key);
    await test.publish(mine, chunks(1, 10));
    await test.publish(mine, chunks(100, 10), { keep: 1 });
    const before = await keysOf(test);
    assert.deepEqual(await looks(test, 24), []);
    const removed = await looks(test, 3);
    assert.match(removed.join(" "), /^\S+\/versions\/0000000001-\S+$/);
    const packs = await looks(test, 30);
    assert.match(packs.join(" "), /^\S+\/packs\/\S+$/);
    assert.equal((await keysOf(test)).length, before.length - 2 + 1, "and the list of what is condemned");
    const latest = await test.latest(key);
    for (const [index, bytes] of chunks(100, 10))
      assert.deepEqual(await latest?.read(index * CHUNK_BYTES, CHUNK_BYTES, { signal }), bytes);
    assert.deepEqual(await looks(test, 50), []);
  });

  it("keeps what something stands on, and removes it when nothing does any more", async () => {
    const test = createTestStore();
    const key = test.newKey();
    const mine = await test.lease(key);
    const { version } = await test.publish(mine, chunks(1, 4));
    await test.publish(mine, chunks(50, 4), { keep: 1 });
    await deleteWorkspace(test.store, key, { clock: test.clock, signal });
    await looks(test, 80, [version]);
    const pinned = await test.open(key, version);
    for (const [index, bytes] of chunks(1, 4))
      assert.deepEqual(await pinned.read(index * CHUNK_BYTES, CHUNK_BYTES, { signal }), bytes);
    assert.equal((await keysOf(test)).filter((one) => one.includes("/versions/")).length, 1);
    await looks(test, 80);
    assert.deepEqual(
      (await keysOf(test)).filter((one) => !one.endsWith("/condemned")),
      [],
      "nothing is left of a deleted workspace",
    );
  });

  it("keeps packs of a base that lives on in a fork, after the base was deleted", async () => {
    const test = createTestStore();
    const base = test.newKey();
    await test.publish(await test.lease(base), chunks(1, 8));
    const golden = await test.latest(base);
    const fork = test.newKey();
    await test.publish(await test.lease(fork), new Map(), { parent: golden, reason: "fork" });
    await deleteWorkspace(test.store, base, { clock: test.clock, signal });
    await looks(test, 100);
    const forked = await test.latest(fork);
    for (const [index, bytes] of chunks(1, 8))
      assert.deepEqual(await forked?.read(index * CHUNK_BYTES, CHUNK_BYTES, { signal }), bytes);
    assert.equal(await readHead(test.store, base, { signal }), undefined);
  });

  it("leaves a version that is being written alone", async () => {
    const test = createTestStore();
    const key = test.newKey();
    await using writer = await begunWriter(test, key);
    assert.ok(
      (await keysOf(test)).some((one) => one.includes("/packs/")),
      "a pack is there already",
    );
    assert.deepEqual(await looks(test, 11), []);
    await writer.publish({ reason: "request", signal });
    assert.deepEqual(await looks(test, 100), []);
    const latest = await test.latest(key);
    assert.deepEqual(await latest?.read(699 * CHUNK_BYTES, CHUNK_BYTES, { signal }), chunkOf(700));
  });

  it("removes what a writer left that never published", async () => {
    const test = createTestStore();
    {
      await using _writer = await begunWriter(test, test.newKey());
    }
    await looks(test, 30);
    assert.deepEqual(
      (await keysOf(test)).filter((one) => one.includes("/packs/")),
      [],
    );
  });

  it("is not hurried by a clock that jumps, forth or back", async () => {
    const test = createTestStore();
    const mine = await test.lease(test.newKey());
    await test.publish(mine, chunks(1, 2));
    await test.publish(mine, chunks(9, 2), { keep: 1 });
    await look(test);
    test.clock.pass(400 * DAY_MS);
    assert.deepEqual((await look(test)).removed, []);
    test.clock.pass(-800 * DAY_MS);
    assert.deepEqual((await look(test)).removed, []);
    assert.deepEqual(await looks(test, 20), []);
    assert.equal((await looks(test, 4)).length, 1);
  });

  it("counts anew for what was in use again meanwhile", async () => {
    const test = createTestStore();
    const mine = await test.lease(test.newKey());
    const { version } = await test.publish(mine, chunks(1, 2));
    await test.publish(mine, chunks(9, 2), { keep: 1 });
    await looks(test, 20);
    await look(test, [version]);
    assert.deepEqual(await looks(test, 24), []);
  });

  it("removes no pack while a manifest cannot be read or is lost, and says which", async () => {
    for (const spoil of [
      (test: TestStore, key: string) => test.store.put(key, Buffer.from("{}")),
      (test: TestStore, key: string) => test.store.delete(key),
    ]) {
      const test = createTestStore();
      const mine = await test.lease(test.newKey());
      await test.publish(mine, chunks(1, 2));
      await test.publish(mine, chunks(9, 2), { keep: 1 });
      await looks(test, 30);
      const manifest = (await keysOf(test)).find((one) => one.includes("/versions/0000000002"));
      assert.ok(manifest);
      await spoil(test, manifest);
      await looks(test, 60);
      assert.equal((await keysOf(test)).filter((one) => one.includes("/packs/")).length, 2);
      assert.deepEqual(
        (await look(test)).unreadable.map(({ key }) => key),
        [manifest],
      );
    }
  });

  it("leaves all that a head may name alone while it cannot be read, and removes other garbage", async () => {
    const test = createTestStore();
    const [damaged, other] = [test.newKey(), test.newKey()];
    const garbage: string[] = [];
    for (const key of [damaged, other]) {
      const mine = await test.lease(key);
      await test.publish(mine, chunks(1, 2));
      await test.publish(mine, chunks(9, 2), { keep: 1 });
    }
    const keys = await keysOf(test);
    const head = keys.find((key) => key.includes(damaged.workspace) && key.endsWith("/head"));
    assert.ok(head);
    const { bytes } = await test.store.get(head, { signal });
    await test.store.put(head, Buffer.from("{}"));
    garbage.push(...(await looks(test, 80)));
    assert.equal(garbage.length, 2, "a version and a pack of the other");
    assert.ok(garbage.every((key) => !key.includes(damaged.workspace)));
    const { unreadable } = await look(test);
    assert.deepEqual(
      unreadable.map(({ key }) => key),
      [head],
    );
    await test.store.put(head, bytes);
    assert.equal((await looks(test, 80)).length, 2, "as before, when it can be read again");
  });

  it("removes once what several collectors see at a time, and leaves strangers alone", async () => {
    const test = createTestStore();
    const mine = await test.lease(test.newKey());
    await test.publish(mine, chunks(1, 2));
    await test.publish(mine, chunks(9, 2), { keep: 1 });
    const strangers = [
      `accounts/${test.account}/workspaces/readme`,
      `accounts/${randomUUID()}/packs/${"0".repeat(32)}`,
    ];
    for (const stranger of strangers) await test.store.put(stranger, Buffer.from("x"));
    await looks(test, 24);
    const all = await Promise.all([look(test), look(test), look(test)]);
    assert.equal(all.flatMap(({ removed }) => removed).length, 1);
    await looks(test, 100);
    const left = await keysOf(test);
    for (const stranger of strangers) assert.ok(left.includes(stranger), stranger);
  });
});
