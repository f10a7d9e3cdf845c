import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  CHUNK_BYTES,
  createVersionWriter,
  deleteWorkspace,
  latestOf,
  moveOutOf,
  planCompaction,
  readHead,
  recordsOf,
  SEGMENT_CHUNKS,
} from "../src/index.ts";
import { chunkOf, createTestStore, DISK_CHUNKS, HOUR_MS, IMAGE, signal } from "./harness.ts";

const chunk = (seed: number, index: number): [number, Buffer] => [index, chunkOf(seed)];

describe("a version", () => {
  it("reads as what was put, over what its parent was, with zeros elsewhere", async () => {
    const { newKey, lease, publish, latest } = createTestStore();
    const key = newKey();
    const mine = await lease(key);
    await publish(mine, new Map([chunk(1, 0), chunk(2, 511), chunk(3, 512), chunk(4, 2047)]));
    await publish(mine, new Map([chunk(5, 511), chunk(0, 512), chunk(6, 700)]));
    const version = await latest(key);
    assert.ok(version);
    const expected = new Map([chunk(1, 0), chunk(5, 511), chunk(6, 700), chunk(4, 2047)]);
    for (const index of [0, 1, 510, 511, 512, 513, 700, 2046, 2047])
      assert.deepEqual(
        await version.read(index * CHUNK_BYTES, CHUNK_BYTES, { signal }),
        expected.get(index) ?? chunkOf(0),
        `chunk ${index}`,
      );
    const across = await version.read(511 * CHUNK_BYTES - 10, CHUNK_BYTES + 20, { signal });
    assert.deepEqual(across, Buffer.concat([Buffer.alloc(10), chunkOf(5), Buffer.alloc(10)]));
    assert.equal(version.manifest.dataBytes, 4 * CHUNK_BYTES);
    assert.equal(version.manifest.tables.size, 3);
    await assert.rejects(version.read(DISK_CHUNKS * CHUNK_BYTES - 1, 2, { signal }), RangeError);
  });

  it("costs its own chunks and tables, and says so; what did not change is not sent", async () => {
    const { newKey, lease, publish } = createTestStore();
    const mine = await lease(newKey());
    const all = new Map(Array.from({ length: 400 }, (_, i) => chunk(i + 1, i)));
    const first = await publish(mine, all);
    assert.ok(first.sentBytes > 400 * (CHUNK_BYTES / 2) && first.sentBytes < 400 * CHUNK_BYTES);
    const second = await publish(mine, new Map([...all, chunk(9999, 7)]));
    assert.ok(second.sentBytes < 3 * CHUNK_BYTES, `one chunk, one table, one manifest: ${second.sentBytes}`);
    assert.equal(second.puts, 3);
  });

  it("stores equal chunks once", async () => {
    const { newKey, lease, publish } = createTestStore();
    const mine = await lease(newKey());
    const { sentBytes } = await publish(mine, new Map(Array.from({ length: 500 }, (_, i) => chunk(7, i))));
    assert.ok(sentBytes < 3 * CHUNK_BYTES, String(sentBytes));
  });

  it("grows, and reads zeros where it grew; it does not shrink", async () => {
    const { newKey, lease, publish, latest } = createTestStore();
    const key = newKey();
    const mine = await lease(key);
    await publish(mine, new Map([chunk(1, 3)]), { diskChunks: 100 });
    await publish(mine, new Map([chunk(2, 1500)]), { diskChunks: 1600 });
    const version = await latest(key);
    assert.deepEqual(await version?.read(3 * CHUNK_BYTES, CHUNK_BYTES, { signal }), chunkOf(1));
    assert.deepEqual(await version?.read(1500 * CHUNK_BYTES, CHUNK_BYTES, { signal }), chunkOf(2));
    assert.deepEqual(await version?.read(101 * CHUNK_BYTES, CHUNK_BYTES, { signal }), chunkOf(0));
    await assert.rejects(publish(mine, new Map(), { diskChunks: 100 }), RangeError);
  });

  it("of a base opens as the first version of a fork without a chunk being copied, and the base stays", async () => {
    const { newKey, lease, publish, latest } = createTestStore();
    const base = newKey();
    await publish(await lease(base), new Map(Array.from({ length: 300 }, (_, i) => chunk(i + 1, i))));
    const golden = await latest(base);
    assert.ok(golden);
    const fork = newKey();
    const forkLease = await lease(fork);
    const { sentBytes, puts } = await publish(forkLease, new Map(), { parent: golden, reason: "fork" });
    assert.ok(puts === 2 && sentBytes < 4096, `${puts} puts, ${sentBytes} bytes`);
    await publish(forkLease, new Map([chunk(777, 5)]));
    const forked = await latest(fork);
    assert.deepEqual(await forked?.read(5 * CHUNK_BYTES, CHUNK_BYTES, { signal }), chunkOf(777));
    assert.deepEqual(await forked?.read(6 * CHUNK_BYTES, CHUNK_BYTES, { signal }), chunkOf(7));
    assert.deepEqual(await golden.read(5 * CHUNK_BYTES, CHUNK_BYTES, { signal }), chunkOf(6));
  });

  it("of long ago is restored as a new version", async () => {
    const { newKey, lease, publish, open, latest } = createTestStore();
    const key = newKey();
    const mine = await lease(key);
    const { version } = await publish(mine, new Map([chunk(1, 0)]));
    await publish(mine, new Map([chunk(2, 0)]));
    const old = await open(key, version);
    await assert.rejects(publish(mine, new Map(), { parent: old }), { code: "lease_lost" });
    await publish(mine, new Map(), { parent: old, reason: "restore" });
    const now = await latest(key);
    assert.equal(now?.name.seq, 3);
    assert.deepEqual(await now.read(0, CHUNK_BYTES, { signal }), chunkOf(1));
  });

  it("takes chunks in order only, each whole and once", async () => {
    const { store, clock, newKey, lease } = createTestStore();
    const mine = await lease(newKey());
    const version = { parent: undefined, image: IMAGE, diskBytes: 100 * CHUNK_BYTES };
    await using writer = createVersionWriter({ store, lease: mine, clock }, version);
    await writer.put(5, chunkOf(1));
    await assert.rejects(writer.put(5, chunkOf(1)), RangeError);
    await assert.rejects(writer.put(4, chunkOf(1)), RangeError);
    await assert.rejects(writer.put(100, chunkOf(1)), RangeError);
    await assert.rejects(writer.put(6, Buffer.alloc(10)), RangeError);
    assert.throws(
      () => createVersionWriter({ store, lease: mine, clock }, { ...version, diskBytes: 1000 }),
      RangeError,
    );
  });

  it("does not depend on the caller's buffer after put", async () => {
    const { store, clock, newKey, lease, latest } = createTestStore();
    const key = newKey();
    const mine = await lease(key);
    await using writer = createVersionWriter(
      { store, lease: mine, clock },
      { parent: undefined, image: IMAGE, diskBytes: 100 * CHUNK_BYTES },
    );
    const random = Buffer.alloc(CHUNK_BYTES);
    for (let at = 0, x = 1; at < CHUNK_BYTES; at += 4) {
      x = (Math.imul(x, 1_664_525) + 1_013_904_223) >>> 0;
      random.writeUInt32LE(x, at);
    }
    const before = Buffer.from(random);
    await writer.put(1, random);
    random.fill(0);
    await writer.publish({ reason: "request", signal });
    assert.deepEqual(await (await latest(key))?.read(CHUNK_BYTES, CHUNK_BYTES, { signal }), before);
  });

  it("that took its writer more than half a day is not published", async () => {
    const { store, clock, newKey, lease } = createTestStore();
    const key = newKey();
    const mine = await lease(key);
    await using writer = createVersionWriter(
      { store, lease: mine, clock },
      { parent: undefined, image: IMAGE, diskBytes: 100 * CHUNK_BYTES },
    );
    await writer.put(0, chunkOf(1));
    clock.pass(13 * HOUR_MS);
    await assert.rejects(writer.publish({ reason: "request", signal }), { code: "unavailable" });
    assert.deepEqual((await readHead(store, key, { signal }))?.head.versions, []);
  });
});

describe("compaction", () => {
  it("leaves the contents, and packs of which little is used are not used any more", async () => {
    const { store, clock, newKey, lease, publish, latest } = createTestStore();
    const key = newKey();
    const mine = await lease(key);
    const all = new Map(Array.from({ length: 600 }, (_, i) => chunk(i + 1, i)));
    await publish(mine, all);
    for (let i = 0; i < 600; i++) if (i % 10 !== 0) all.set(i, chunkOf(10_000 + i));
    await publish(mine, all);
    const before = await latest(key);
    assert.ok(before);
    const packs = planCompaction(before.manifest, { usedPart: 0.5, maxBytes: 1 << 30 });
    assert.ok(packs.size > 0 && packs.size < before.manifest.packs.size);
    await using writer = createVersionWriter(
      { store, lease: mine, clock },
      { parent: before, image: IMAGE, diskBytes: before.manifest.diskBytes },
    );
    let reads = 0;
    const source = recordsOf(store, key.account);
    const records = {
      ...source,
      getAll: (...asked: Parameters<typeof source.getAll>) => {
        reads++;
        return source.getAll(...asked);
      },
    };
    assert.equal(await moveOutOf(packs, { version: before, writer, records, mayGoOn: () => true, signal }), true);
    assert.equal(reads, 1, "60 chunks of two segments");
    assert.equal(writer.changedChunks, 0);
    await writer.publish({ reason: "compaction", signal });
    const after = await latest(key);
    assert.ok(after);
    for (const pack of packs) assert.equal(after.manifest.packs.has(pack), false);
    assert.equal(after.manifest.dataBytes, before.manifest.dataBytes);
    for (let segment = 0; segment * SEGMENT_CHUNKS < 600; segment++) {
      const at = segment * SEGMENT_CHUNKS * CHUNK_BYTES;
      assert.deepEqual(await after.read(at, 600 * 1024, { signal }), await before.read(at, 600 * 1024, { signal }));
    }
    for (const [index, bytes] of all)
      assert.deepEqual(await after.read(index * CHUNK_BYTES, CHUNK_BYTES, { signal }), bytes);
    assert.equal(planCompaction(after.manifest, { usedPart: 0.5, maxBytes: 1 << 30 }).size, 0);
  });

  it("moves no more than it may, the worst packs first", async () => {
    const use = (sizeBytes: number, storedBytes: number) => ({ sizeBytes, storedBytes, records: 1 });
    const { newKey, lease, publish, latest } = createTestStore();
    const key = newKey();
    await publish(await lease(key), new Map([chunk(1, 0)]));
    const version = await latest(key);
    assert.ok(version);
    const packs = new Map(Object.entries({ a: use(100, 40), b: use(100, 10), c: use(100, 90), d: use(100, 30) }));
    const plan = (maxBytes: number) => [...planCompaction({ ...version.manifest, packs }, { usedPart: 0.5, maxBytes })];
    assert.deepEqual(plan(1000), ["b", "d", "a"]);
    assert.deepEqual(plan(40), ["b", "d"]);
    assert.deepEqual(plan(5), []);
  });
});

describe("a deleted workspace", () => {
  it("is written by nobody any more, also not by who has the lease", async () => {
    const { store, clock, newKey, lease, publish } = createTestStore();
    const key = newKey();
    const mine = await lease(key);
    await publish(mine, new Map([chunk(1, 0)]));
    await deleteWorkspace(store, key, { clock, signal });
    await assert.rejects(publish(mine, new Map([chunk(2, 0)])), { code: "lease_lost" });
    await assert.rejects(lease(key), { code: "workspace_not_found" });
    await assert.rejects(deleteWorkspace(store, key, { clock, signal }), { code: "workspace_not_found" });
    const stored = await readHead(store, key, { signal });
    assert.ok(stored);
    assert.deepEqual([stored.head.state, latestOf(stored.head)?.seq], ["deleted", 1]);
  });
});
