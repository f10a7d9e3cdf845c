import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { after, before, describe, it } from "node:test";
import { createMemoryStore, type ObjectStore } from "@mags/object-store";
import { createFaultyStore, createSeededRandom } from "@mags/test-kit";
import { type ImageFiles, keepImage, newImageUpload } from "../src/index.ts";
import { signal } from "./harness.ts";
import { type ImageBench, keysOf, MIB, openImageBench } from "./image-files.ts";

let bench: ImageBench;
let image: ImageFiles;
let small: ImageFiles;
let contents: Buffer;

before(async () => {
  bench = await openImageBench();
  image = await bench.newImage(35 * MIB + 4096);
  small = await bench.newImage(MIB);
  contents = await readFile(image.disk);
});
after(() => bench[Symbol.asyncDispose]());

const fetched = (store: ObjectStore, digest = image.digest) => bench.fetched(store, digest);

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

  it("is read by ranges, as long as its parts are, and is damaged where one is shorter", async () => {
    const memory = createMemoryStore();
    await keepImage(memory, small, { signal });
    const read: [string, number | undefined][] = [];
    const store: ObjectStore = {
      ...memory,
      get(key, options) {
        if (/[0-9]{6}$/.test(key)) read.push([key, options?.range?.end]);
        return memory.get(key, options);
      },
    };
    await fetched(store, small.digest);
    assert.equal(read.length, 2, "a part, and certificates");
    for (const [key, end] of read) assert.equal(end, (await memory.get(key)).bytes.length, key);
    const [key = ""] = read[0] ?? [];
    await memory.put(key, (await memory.get(key)).bytes.subarray(1));
    await assert.rejects(fetched(memory, small.digest), { code: "chunk_corrupt", message: /it has less than/ });
  });

  it("is sent by several at a time, of whom one counts", async () => {
    const store = createFaultyStore(createMemoryStore(), { random: createSeededRandom(1) });
    const all = await Promise.all([1, 2, 3].map(() => keepImage(store, image, { signal })));
    assert.equal(all.filter(({ sent }) => sent).length, 1);
    assert.ok((await fetched(store)).bytes.equals(contents));
  });

  it("is refused when the files of the node are not what its digest says", async () => {
    const store = createMemoryStore();
    const other = await bench.newImage(4096);
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
        assert.ok(!(await readdir(bench.path)).some((name) => name.startsWith("fetched")));
      }
    store.inject({ kind: "busy", on: /^get .*000001$/ });
    await assert.rejects(fetched(store), { code: "unavailable" });
    assert.ok((await fetched(store)).bytes.equals(contents));
  });
});
