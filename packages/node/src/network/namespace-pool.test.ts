import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createIndexes } from "./indexes.ts";
import { createNamespacePool } from "./namespace-pool.ts";
import { describeNetwork } from "./network-manager.ts";

function setUp(capacity = 10) {
  const exist = new Set<number>();
  const tasks: (() => Promise<void>)[] = [];
  const failing = new Set<number>();
  const network = {
    async create(index: number) {
      if (failing.has(index)) throw new Error("no namespace");
      exist.add(index);
      return describeNetwork("t", index);
    },
    async remove(index: number) {
      exist.delete(index);
    },
  };
  const later = (task: () => Promise<void>) => void tasks.push(task);
  const pool = createNamespacePool({ network, indexes: createIndexes(capacity), later }, { size: 3 });
  const work = async () => {
    for (let task = tasks.shift(); task; task = tasks.shift()) await task().catch(() => {});
  };
  return { pool, exist, failing, work };
}

describe("namespace pool", () => {
  it("makes namespaces when there is time for it, and makes up for those that are taken", async () => {
    const { pool, exist, work } = setUp();
    assert.equal(exist.size, 0);
    pool.start();
    await work();
    assert.deepEqual(pool.prepared, [1, 2, 3]);
    assert.equal((await pool.take()).index, 1);
    assert.deepEqual(pool.prepared, [2, 3]);
    await work();
    assert.deepEqual(pool.prepared, [2, 3, 4]);
  });

  it("makes one at once when none is ready, and never gives one twice", async () => {
    const { pool, exist, work } = setUp();
    pool.reserve(1);
    const taken = await Promise.all([pool.take(), pool.take(), pool.take()]);
    assert.deepEqual(taken.map(({ index }) => index).toSorted(), [2, 3, 4]);
    await pool.release(3);
    assert.deepEqual([...exist].toSorted(), [2, 4]);
    pool.start();
    await work();
    assert.deepEqual(pool.prepared, [3, 5, 6]);
  });

  it("leaves nothing when it ends, also of what was being made", async () => {
    const { pool, exist, work } = setUp();
    pool.start();
    await work();
    await pool.take();
    await pool[Symbol.asyncDispose]();
    await work();
    assert.deepEqual([...exist], [1]);
    assert.deepEqual(pool.prepared, []);
  });

  it("frees the number of one that could not be made, and says when there are no more", async () => {
    const { pool, failing } = setUp(1);
    failing.add(1);
    await assert.rejects(pool.take(), /no namespace/);
    failing.clear();
    assert.equal((await pool.take()).index, 1);
    await assert.rejects(pool.take(), /addresses for 1 microVMs/);
  });
});
