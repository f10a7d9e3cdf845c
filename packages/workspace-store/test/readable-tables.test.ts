import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { CHUNK_BYTES, createVersionReader, recordsOf, SEGMENT_CHUNKS, withReadableTables } from "../src/index.ts";
import { chunkOf, createTestStore, signal } from "./harness.ts";

async function example() {
  const test = createTestStore();
  const lease = await test.lease(test.newKey());
  await test.publish(lease, new Map([0, SEGMENT_CHUNKS].map((index) => [index, chunkOf(index + 1)])));
  await test.publish(lease, new Map([[1, chunkOf(7)]]));
  const version = await test.latest(lease);
  assert.ok(version);
  return { test, lease, version, records: recordsOf(test.store, test.account) };
}

describe("withReadableTables", () => {
  it("is the version where nothing is wrong", async () => {
    const { version, records } = await example();
    const { reader, isWhole, lost } = await withReadableTables(version, { records, signal });
    assert.deepEqual([isWhole, lost], [true, 0]);
    assert.deepEqual(reader.manifest, version.manifest);
  });

  it("has zeros for what a table lists that is in no listed pack, and counts what is left", async () => {
    const { version, records } = await example();
    const [own, other] = [version.manifest.tables.get(0)?.pack, version.manifest.tables.get(1)?.pack];
    assert.ok(own && other && own !== other);
    const packs = new Map(version.manifest.packs);
    packs.delete(own);
    const damaged = createVersionReader({ ...version, manifest: { ...version.manifest, packs }, records });
    const { reader, isWhole, lost } = await withReadableTables(damaged, { records, signal });
    assert.deepEqual([isWhole, lost, reader.manifest.dataBytes], [false, 1, CHUNK_BYTES]);
    assert.deepEqual([reader.manifest.packs.get(other)?.records, reader.manifest.packs.has(own)], [2, false]);
    assert.deepEqual(await reader.read(SEGMENT_CHUNKS * CHUNK_BYTES, CHUNK_BYTES, { signal }), chunkOf(513));
  });

  it("counts anew what a manifest counts wrongly, so that a version can be made from it", async () => {
    const { test, lease, version, records } = await example();
    const packs = new Map([...version.manifest.packs].map(([id, use]) => [id, { ...use, records: 1 }]));
    const wrong = createVersionReader({ ...version, manifest: { ...version.manifest, packs }, records });
    const change = new Map([0, SEGMENT_CHUNKS].map((index) => [index, chunkOf(index + 100)]));
    await assert.rejects(test.publish(lease, change, { parent: wrong }), { code: "store_corrupt" });
    const { reader, isWhole } = await withReadableTables(wrong, { records, signal });
    assert.equal(isWhole, false);
    await test.publish(lease, change, { parent: reader });
    assert.deepEqual(await (await test.latest(lease))?.read(CHUNK_BYTES, CHUNK_BYTES, { signal }), chunkOf(7));
  });
});
