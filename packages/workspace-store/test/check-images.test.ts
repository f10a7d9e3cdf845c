import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { createMemoryStore, type ObjectStore } from "@mags/object-store";
import { checkAccount, checkImages, type ImageFiles, keepImage } from "../src/index.ts";
import { chunkOf, createTestStore, signal } from "./harness.ts";
import { type ImageBench, keysOf, MIB, openImageBench } from "./image-files.ts";

let bench: ImageBench;
let small: ImageFiles;

before(async () => {
  bench = await openImageBench();
  small = await bench.newImage(MIB);
});
after(() => bench[Symbol.asyncDispose]());

describe("checkImages", () => {
  async function check(
    store: ObjectStore,
    { data = false, named = new Map() as ReadonlyMap<string, readonly string[]> } = {},
  ) {
    const found: string[] = [];
    const onProblem = ({ key, what }: { key: string; what: string }) => void found.push(`${key}: ${what}`);
    return { found, ...(await checkImages(store, { named, data, signal, onProblem })) };
  }

  it("finds nothing wrong with a whole image, and counts", async () => {
    const store = createMemoryStore();
    await keepImage(store, small, { signal });
    for (const data of [true, false])
      assert.deepEqual(await check(store, { data }), { found: [], images: 1, parts: 2, unusedImages: 1, problems: 0 });
  });

  it("finds an image that a version names and that is not there, a lost part, a flipped bit, a descriptor of no sense", async () => {
    const test = createTestStore();
    const { store } = test;
    await test.publish(await test.lease(test.newKey()), new Map([[0, chunkOf(1)]]), { image: small });
    const { account } = test;
    const { images: named } = await checkAccount(store, { account, data: false, signal, onProblem: () => {} });
    assert.match((await check(store, { named })).found.join(), /does not have image sha256:.*0000000001-\S+ names it/);
    await keepImage(store, small, { signal });
    assert.deepEqual((await check(store, { named })).unusedImages, 0);
    const [part] = (await keysOf(store)).filter((key) => key.endsWith("000001"));
    assert.ok(part);
    const { bytes } = await store.get(part, { signal });
    const flipped = Buffer.from(bytes);
    flipped[7] = (flipped[7] ?? 0) ^ 1;
    await store.put(part, flipped);
    assert.equal((await check(store, { named })).problems, 0, "without data it is not read");
    assert.match((await check(store, { named, data: true })).found.join(), /000001: .*is damaged/);
    await store.delete(part);
    assert.match((await check(store, { named })).found.join(), /000001: .*it is not there/);
    await store.put(part, bytes);
    const [descriptor] = (await keysOf(store)).filter((key) => key.endsWith("/image"));
    assert.ok(descriptor);
    await store.put(descriptor, Buffer.from("{}"));
    assert.match((await check(store)).found.join(), /image: .*not valid/);
  });
});

describe("an image that is missing", () => {
  it("is told of while any version that names it is there", async () => {
    const test = createTestStore();
    const { store, account } = test;
    const lease = await test.lease(test.newKey());
    for (const chunk of [1, 2, 3]) await test.publish(lease, new Map([[0, chunkOf(chunk)]]), { image: small });
    const { images: named } = await checkAccount(store, { account, data: false, signal, onProblem: () => {} });
    const manifests = (await keysOf(store, "accounts/")).filter((key) => key.includes("/versions/"));
    assert.equal(manifests.length, 3);
    for (const left of [2, 1, 0]) {
      await store.delete(manifests[2 - left] ?? "");
      const found: string[] = [];
      const onProblem = ({ what }: { what: string }) => void found.push(what);
      const { problems } = await checkImages(store, { named, data: false, signal, onProblem });
      assert.equal(problems, left > 0 ? 1 : 0);
      if (left > 0) assert.ok(found[0]?.endsWith(`${manifests[3 - left]} names it`), found[0]);
    }
  });
});
