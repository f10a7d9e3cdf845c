import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, beforeEach, describe, it } from "node:test";
import type { ObjectStore } from "@mags/object-store";
import { createFaultyStore, createSeededRandom } from "@mags/test-kit";
import {
  type Collected,
  collect,
  collectImages,
  deleteWorkspace,
  type ImageFiles,
  keepImage,
  newImageUpload,
} from "../src/index.ts";
import { chunkOf, createTestStore, HOUR_MS, signal, type TestStore } from "./harness.ts";
import { type ImageBench, keysOf, MIB, openImageBench } from "./image-files.ts";

let bench: ImageBench;
let small: ImageFiles;

before(async () => {
  bench = await openImageBench();
  small = await bench.newImage(MIB);
});
after(() => bench[Symbol.asyncDispose]());

describe("collectImages", () => {
  let test: TestStore;
  let witnesses: Map<string, string>;
  beforeEach(async () => {
    test = createTestStore();
    witnesses = new Map();
    await keepImage(test.store, small, { signal });
  });

  const look = () => collectImages(test.store, { graceMs: 24 * HOUR_MS, clock: test.clock, witnesses, signal });
  async function looks(hours: number, each: () => Promise<unknown> = look): Promise<void> {
    for (let hour = 0; hour < hours; hour++) {
      await each();
      test.clock.pass(HOUR_MS);
    }
  }
  const isThere = async () =>
    await bench.fetched(test.store, small.digest).then(
      () => true,
      () => false,
    );

  it("keeps an image while a version of any account names it, then for the time of grace, then removes all of it", async () => {
    const key = test.newKey();
    await test.publish(await test.lease(key), new Map([[0, chunkOf(1)]]), { image: small });
    const lists = (calls: readonly string[]) => calls.filter((call) => call === "list accounts/").length;
    const counted = createFaultyStore(test.store, { random: createSeededRandom(1) });
    await looks(60, () => collectImages(counted, { graceMs: 24 * HOUR_MS, clock: test.clock, witnesses, signal }));
    assert.equal(lists(counted.calls), 1, "a version that names it is remembered");
    await deleteWorkspace(test.store, key, { clock: test.clock, signal });
    await looks(30, async () => {
      await look();
      await collect(test.store, {
        ...{ account: test.account, graceMs: 24 * HOUR_MS, clock: test.clock, signal },
        pinned: async () => [],
      });
    });
    assert.ok(await isThere());
    await looks(23);
    await looks(4);
    assert.ok(!(await isThere()));
    await looks(26);
    assert.equal((await keysOf(test.store)).filter((one) => !one.endsWith("/image")).join(), "images/condemned");
    assert.deepEqual(await keepImage(test.store, small, { signal }), { sent: true });
    assert.ok(await isThere());
  });

  it("counts anew when somebody counts on it, however shortly before its removal", async () => {
    await looks(24);
    await keepImage(test.store, small, { signal });
    await looks(24);
    assert.ok(await isThere());
    let raced = false;
    const racing: ObjectStore = {
      ...test.store,
      async put(key, bytes, options) {
        if (Buffer.from(bytes).includes('"removed"')) {
          raced = true;
          await keepImage(test.store, small, { signal });
        }
        return test.store.put(key, bytes, options);
      },
    };
    await collectImages(racing, { graceMs: 24 * HOUR_MS, clock: test.clock, witnesses, signal });
    assert.ok(raced);
    assert.ok(await isThere(), "also between its last look and its removal");
  });

  it("leaves everything while a manifest or a descriptor cannot be read, and says which", async () => {
    const key = test.newKey();
    const { version } = await test.publish(await test.lease(key), new Map([[0, chunkOf(1)]]), { image: small });
    const manifest = (await keysOf(test.store, "accounts/")).find((one) => one.includes(version.sha256));
    assert.ok(manifest);
    await test.store.put(manifest, Buffer.from("{}"));
    await looks(40);
    const { unreadable, removed }: Collected = await look();
    assert.deepEqual([unreadable.map((one) => one.key), removed], [[manifest], []]);
    const [descriptor] = (await keysOf(test.store)).filter((one) => one.endsWith("/image"));
    assert.ok(descriptor);
    const { bytes } = await test.store.get(descriptor, { signal });
    await test.store.put(descriptor, Buffer.from("{}"));
    await looks(40);
    await test.store.put(descriptor, bytes);
    assert.ok(await isThere());
  });

  it("removes what an upload left that never ended, and leaves one that is under way", async () => {
    const other = await bench.newImage(MIB);
    const store = createFaultyStore(test.store, { random: createSeededRandom(1) });
    const upload = newImageUpload();
    store.inject({ kind: "busy", on: /^put .*000001$/ });
    await assert.rejects(keepImage(store, other, { upload, signal }));
    const strays = async () => (await keysOf(store)).filter((key) => key.includes(upload.id)).length;
    assert.ok((await strays()) > 0);
    await looks(12);
    await keepImage(store, other, { upload, signal });
    assert.ok((await bench.fetched(store, other.digest)).bytes.equals(await readFile(other.disk)));
    const left = newImageUpload();
    const third = await bench.newImage(MIB);
    store.inject({ kind: "busy", on: /^put .*000001$/ });
    await assert.rejects(keepImage(store, third, { upload: left, signal }));
    await looks(26);
    assert.equal((await keysOf(store)).filter((key) => key.includes(left.id)).length, 0);
  });
});
