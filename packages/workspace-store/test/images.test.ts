import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, beforeEach, describe, it } from "node:test";
import { createMemoryStore, type ObjectStore } from "@mags/object-store";
import { createFaultyStore, createSeededRandom, makeTempDir, type TempDir } from "@mags/test-kit";
import {
  type Collected,
  checkAccount,
  checkImages,
  collect,
  collectImages,
  deleteWorkspace,
  fetchImage,
  type ImageFiles,
  keepImage,
  newImageUpload,
} from "../src/index.ts";
import { chunkOf, createTestStore, HOUR_MS, signal, type TestStore } from "./harness.ts";

const MIB = 1 << 20;
let temp: TempDir;
let image: ImageFiles;
let small: ImageFiles;
let contents: Buffer;
let made = 0;

before(async () => {
  temp = await makeTempDir();
  image = await newImage(35 * MIB + 4096);
  small = await newImage(MIB);
  contents = await readFile(image.disk);
});
after(() => temp[Symbol.asyncDispose]());

/** Half of it compresses. */
async function newImage(bytes: number): Promise<ImageFiles> {
  const disk = join(temp.path, `disk-${++made}`);
  const file = join(temp.path, "certificates");
  const plain = Buffer.concat([randomBytes(bytes / 2), Buffer.alloc(bytes / 2, made)]);
  await writeFile(disk, plain);
  await writeFile(file, "-----BEGIN CERTIFICATE-----");
  const digest = `sha256:${createHash("sha256").update(plain).digest("hex")}`;
  return { name: "tiny", digest, disk, caBundle: { file, guestPath: "/etc/ssl/cert.pem" } };
}

async function keysOf(store: ObjectStore, prefix = "images/"): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of store.list(prefix, { signal })) keys.push(key);
  return keys;
}

async function fetched(store: ObjectStore, digest = image.digest) {
  const [disk, caBundle] = [join(temp.path, "fetched.erofs"), join(temp.path, "fetched.crt")];
  const result = await fetchImage(store, digest, { disk, caBundle, signal });
  return { ...result, bytes: await readFile(disk), certificates: await readFile(caBundle, "utf8") };
}

describe("an image in the store", () => {
  it("is sent once, in parts, and comes back as it was, with its certificates", async () => {
    const store = createMemoryStore();
    assert.deepEqual(await keepImage(store, image, { signal }), { sent: true });
    assert.equal((await keysOf(store)).length, 5, "three parts, certificates, the descriptor");
    assert.deepEqual(await keepImage(store, image, { signal }), { sent: false });
    assert.equal((await keysOf(store)).length, 5);
    const { bytes, certificates, ...rest } = await fetched(store);
    assert.ok(bytes.equals(contents));
    assert.equal(certificates, "-----BEGIN CERTIFICATE-----");
    assert.deepEqual(rest, { diskBytes: contents.length, caBundlePath: "/etc/ssl/cert.pem" });
  });

  it("is not there until it is whole; an upload that was cut goes on with what is missing", async () => {
    const store = createFaultyStore(createMemoryStore(), { random: createSeededRandom(1) });
    const upload = newImageUpload();
    store.inject({ kind: "busy", on: /^put .*000002$/ });
    await assert.rejects(keepImage(store, image, { upload, signal }), { code: "unavailable" });
    await assert.rejects(fetched(store), { code: "store_corrupt", message: /does not have image/ });
    const before = store.calls.length;
    await keepImage(store, image, { upload, signal });
    const again = store.calls.slice(before).filter((call) => /^put .*00000[01]$/.test(call));
    assert.deepEqual(again, []);
    assert.ok((await fetched(store)).bytes.equals(contents));
  });

  it("is sent by several at a time, of whom one counts", async () => {
    const store = createFaultyStore(createMemoryStore(), { random: createSeededRandom(1) });
    const all = await Promise.all([1, 2, 3].map(() => keepImage(store, image, { signal })));
    assert.equal(all.filter(({ sent }) => sent).length, 1);
    assert.ok((await fetched(store)).bytes.equals(contents));
  });

  it("is refused when the files of the node are not what its digest says", async () => {
    const store = createMemoryStore();
    const other = await newImage(4096);
    await assert.rejects(keepImage(store, { ...image, disk: other.disk }, { signal }), { code: "internal" });
    await assert.rejects(fetched(store), { code: "store_corrupt" });
  });

  it("whose descriptor is damaged is sent again; one of an unknown format is left as it is", async () => {
    const store = createMemoryStore();
    await keepImage(store, small, { signal });
    const [descriptor] = (await keysOf(store)).filter((key) => key.endsWith("/image"));
    assert.ok(descriptor);
    const { bytes } = await store.get(descriptor, { signal });
    const otherDigest = bytes.toString().replace(/sha256:[0-9a-f]{4}/, "sha256:0000");
    for (const damage of ["", "{", bytes.toString().slice(0, -9), '{"format":1}', otherDigest]) {
      await store.put(descriptor, Buffer.from(damage));
      assert.deepEqual(await keepImage(store, small, { signal }), { sent: true });
      assert.ok((await fetched(store, small.digest)).bytes.equals(await readFile(small.disk)));
    }
    const foreign = Buffer.from('{"magic":"mags-image","format":2}');
    await store.put(descriptor, foreign);
    await assert.rejects(keepImage(store, small, { signal }), { code: "store_corrupt", message: /it has format 2/ });
    assert.ok((await store.get(descriptor, { signal })).bytes.equals(foreign));
  });

  it("that lost a part, or has one bit flipped, is an error and leaves no file", async () => {
    const store = createFaultyStore(createMemoryStore(), { random: createSeededRandom(1) });
    await keepImage(store, image, { signal });
    for (const kind of ["missing", "flipped"] as const)
      for (const on of [/^get .*000000$/, /^get .*000002$/, /^get .*000003$/]) {
        store.inject({ kind, on });
        await assert.rejects(fetched(store), { code: "chunk_corrupt" });
        assert.ok(!(await readdir(temp.path)).some((name) => name.startsWith("fetched")));
      }
    store.inject({ kind: "busy", on: /^get .*000001$/ });
    await assert.rejects(fetched(store), { code: "unavailable" });
    assert.ok((await fetched(store)).bytes.equals(contents));
  });
});

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
    await fetched(test.store, small.digest).then(
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
    const other = await newImage(MIB);
    const store = createFaultyStore(test.store, { random: createSeededRandom(1) });
    const upload = newImageUpload();
    store.inject({ kind: "busy", on: /^put .*000001$/ });
    await assert.rejects(keepImage(store, other, { upload, signal }));
    const strays = async () => (await keysOf(store)).filter((key) => key.includes(upload.id)).length;
    assert.ok((await strays()) > 0);
    await looks(12);
    await keepImage(store, other, { upload, signal });
    assert.ok((await fetched(store, other.digest)).bytes.equals(await readFile(other.disk)));
    const left = newImageUpload();
    const third = await newImage(MIB);
    store.inject({ kind: "busy", on: /^put .*000001$/ });
    await assert.rejects(keepImage(store, third, { upload: left, signal }));
    await looks(26);
    assert.equal((await keysOf(store)).filter((key) => key.includes(left.id)).length, 0);
  });
});
