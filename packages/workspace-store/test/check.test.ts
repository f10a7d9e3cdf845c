import assert from "node:assert/strict";
import { type FileHandle, open, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import type { ObjectStore } from "@mags/object-store";
import { makeTempDir } from "@mags/test-kit";
import { CHUNK_BYTES, checkAccount, collect, exportDisk, listAccounts, recordsOf, sha256Of } from "../src/index.ts";
import { versionKey } from "../src/keys.ts";
import { chunkOf, createTestStore, DISK_CHUNKS, IMAGE, signal, type TestStore } from "./harness.ts";

async function keysOf({ store }: TestStore, part: string): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of store.list("", { signal })) if (key.includes(part)) keys.push(key);
  return keys;
}

async function check({ store, account }: TestStore, data = true) {
  const problems: string[] = [];
  const onProblem = ({ key, what }: { key: string; what: string }) => problems.push(`${key}: ${what}`);
  return { ...(await checkAccount(store, { account, data, signal, onProblem })), found: problems };
}

async function example() {
  const test = createTestStore();
  const key = test.newKey();
  const mine = await test.lease(key);
  const chunks = new Map(Array.from({ length: 30 }, (_, i): [number, Buffer] => [i * 40, chunkOf(i + 1)]));
  await test.publish(mine, chunks);
  await test.publish(mine, new Map([[40, chunkOf(99)]]));
  return { test, key, mine };
}

describe("checkAccount", () => {
  it("finds nothing in a whole store, and counts what is there", async () => {
    const { test } = await example();
    const { found, ...counts } = await check(test);
    assert.deepEqual(found, []);
    // 31 chunks; tables of 3 segments, and one of them again.
    const { images, ...numbers } = counts;
    assert.deepEqual(numbers, { workspaces: 1, versions: 2, packs: 2, records: 35, unusedPacks: 0, problems: 0 });
    assert.deepEqual([...images.keys()], [IMAGE.digest]);
    assert.deepEqual(await listAccounts(test.store, { signal }), [test.account]);
  });

  it("reads a table that versions share once, and several versions at a time", async () => {
    const { test, mine } = await example();
    for (let n = 0; n < 18; n++) await test.publish(mine, new Map([[40, chunkOf(100 + n)]]));
    let [tables, inside, most] = [0, 0, 0];
    const store: ObjectStore = {
      ...test.store,
      async get(key, options) {
        if (key.includes("/packs/")) {
          tables++;
          return test.store.get(key, options);
        }
        most = Math.max(most, ++inside);
        await new Promise(setImmediate);
        return test.store.get(key, options).finally(() => inside--);
      },
    };
    const { found, versions, records } = await check({ ...test, store }, false);
    assert.deepEqual([found, versions, records], [[], 20, 34 + 19 * 2 - 1]);
    // One table of each is new, of three; the first eight, which are read at the same time, do not know of each other.
    assert.ok(tables <= 20 + 8 * 2, `${tables} reads of tables`);
    assert.ok(most > 1 && most <= 8, `${most} manifests at a time`);
  });

  it("finds a pack that is lost, also without reading data", async () => {
    const { test } = await example();
    const [, pack] = await keysOf(test, "/packs/");
    assert.ok(pack);
    await test.store.delete(pack);
    for (const data of [true, false]) {
      const { found, problems } = await check(test, data);
      assert.ok(
        problems > 0 && found.some((line) => line.includes("does not have its pack") || line.includes("not there")),
      );
    }
  });

  it("finds one flipped bit in the bytes of a record or of the index", async () => {
    for (const at of [100, 5000, -20, -100]) {
      const { test } = await example();
      const [pack] = await keysOf(test, "/packs/");
      assert.ok(pack);
      const { bytes } = await test.store.get(pack);
      const place = at < 0 ? bytes.length + at : at;
      bytes[place] = (bytes[place] ?? 0) ^ 1;
      await test.store.put(pack, bytes);
      assert.notEqual((await check(test)).problems, 0, `byte ${at}`);
    }
  });

  it("says which versions need what is damaged, and which does without", async () => {
    const { test, mine } = await example();
    await test.publish(mine, new Map([[40, chunkOf(100)]])); // version 3; version 2 has the chunk of a pack of its own
    const flipIn = async (pack: string, at: number) => {
      const { bytes } = await test.store.get(pack);
      bytes[at] = (bytes[at] ?? 0) ^ 1;
      await test.store.put(pack, bytes);
    };
    const before = await keysOf(test, "/packs/");
    await test.publish(mine, new Map([[0, chunkOf(101)]])); // version 4
    const [newest] = (await keysOf(test, "/packs/")).filter((pack) => !before.includes(pack));
    assert.ok(newest);
    await flipIn(newest, 100);
    const { found } = await check(test);
    assert.equal(found.length, 1);
    assert.match(
      found[0] ?? "",
      /; needed by workspace \S+, versions 4: version 3 does without, mags workspace restore \S+ --version 3$/,
    );
    await test.publish(mine, new Map([[0, chunkOf(102)]])); // version 5
    assert.match(
      (await check(test)).found[0] ?? "",
      /; needed by workspace \S+, versions 4: version 5, the newest, does without$/,
    );
    await flipIn((await keysOf(test, "/packs/")).find((pack) => pack !== newest && !before.includes(pack)) ?? "", 100);
    // The first chunk of the disk, which the newest version has in another pack: that is damaged, too.
    for (const pack of before) await flipIn(pack, 100);
    assert.match((await check(test)).found.join("\n"), /needed by workspace \S+, versions 1, 2, 3$/m);
  });

  it("finds a manifest that is lost or damaged, and packs that nothing uses", async () => {
    const { test } = await example();
    const [first, second] = await keysOf(test, "/versions/");
    assert.ok(first && second);
    await test.store.delete(first);
    await test.store.put(second, Buffer.from("{}"));
    const { found, unusedPacks } = await check(test);
    assert.match(
      found.join("\n"),
      /versions\/0000000001\S+: the store has no version 1 .*; until it can be read again/,
    );
    assert.match(found.join("\n"), /versions\/0000000002\S+: .*another digest than its name; until it can be read/);
    assert.equal(unusedPacks, 2);
  });

  it("finds a manifest that says something else of its packs than the tables, or the store", async () => {
    for (const [place, what] of [
      [1, /lists pack \S+ with \d+ bytes$/],
      [2, /lists pack \S+ with 34 records of (\d+) bytes, and its tables name 33 of \1$/],
      [3, /lists pack \S+ with 33 records of \d+ bytes, and its tables name 33 of \d+$/],
    ] as const) {
      const { test, key } = await example();
      const [first] = await keysOf(test, "/versions/");
      const [head] = await keysOf(test, "/head");
      assert.ok(first && head);
      const manifest = JSON.parse((await test.store.get(first)).bytes.toString());
      manifest.packs[0][place]++;
      const bytes = Buffer.from(JSON.stringify(manifest));
      await test.store.put(versionKey(key, { seq: 1, sha256: sha256Of(bytes) }), bytes);
      await test.store.delete(first);
      const listing = JSON.parse((await test.store.get(head)).bytes.toString());
      listing.versions[0].sha256 = sha256Of(bytes);
      await test.store.put(head, Buffer.from(JSON.stringify(listing)));
      const { found } = await check(test);
      assert.equal(found.length, 1, found.join("\n"));
      assert.match(found[0] ?? "", what);
    }
  });

  it("says which head cannot be read, and goes on with the others", async () => {
    const { test } = await example();
    const [head] = await keysOf(test, "/head");
    assert.ok(head);
    await test.publish(await test.lease(test.newKey()), new Map([[0, chunkOf(5)]]));
    for (const [bytes, what] of [
      [Buffer.from("{"), "it is no JSON"],
      [Buffer.from('{"magic":"mags-head","format":9}'), "it has format 9"],
    ] as const) {
      await test.store.put(head, bytes);
      const { found, workspaces, versions } = await check(test);
      assert.equal(found.length, 1);
      assert.ok(found[0]?.startsWith(`${head}: `) && found[0].includes(what), found[0]);
      assert.deepEqual([workspaces, versions], [2, 3]);
    }
  });

  it("finds nothing wrong with what is published and collected while it looks", async () => {
    for (const before of [/\/versions\/0000000001/, /\/packs\//]) {
      const { test, mine } = await example();
      const grace = { account: test.account, graceMs: 0, clock: test.clock, pinned: async () => [], signal };
      let busy = false;
      const busyStore: ObjectStore = {
        ...test.store,
        async get(key, options) {
          if (!busy && before.test(key)) {
            busy = true;
            await test.publish(mine, new Map(Array.from({ length: 30 }, (_, i) => [i * 40, chunkOf(i + 200)])), {
              keep: 1,
            });
            for (let look = 0; look < 4; look++) await collect(test.store, grace);
            assert.equal((await keysOf(test, "/versions/")).length, 1);
            assert.equal((await keysOf(test, "/packs/")).length, 1);
          }
          return test.store.get(key, options);
        },
      };
      const { found } = await check({ ...test, store: busyStore });
      assert.deepEqual(found, []);
      assert.ok(busy);
    }
  });
});

describe("exportDisk", () => {
  it("writes the disk byte for byte, with holes where zeros are", async () => {
    const { test, key } = await example();
    await using dir = await makeTempDir();
    const path = join(dir.path, "disk.raw");
    const version = await test.latest(key);
    assert.ok(version);
    const seen: [number, number][] = [];
    {
      await using file = await open(path, "wx");
      await exportDisk(version, file, {
        records: recordsOf(test.store, test.account),
        signal,
        onProgress: (written, all) => seen.push([written, all]),
      });
    }
    const bytes = await readFile(path);
    assert.ok(bytes.equals(await version.read(0, DISK_CHUNKS * CHUNK_BYTES, { signal })));
    const { size, blocks } = await stat(path);
    assert.ok(blocks * 512 < size / 8, "it is sparse");
    assert.deepEqual(seen.at(-1), [30 * CHUNK_BYTES, 30 * CHUNK_BYTES]);
  });

  it("writes all of it where a write takes only a part of what it is asked for", async () => {
    const { test, key } = await example();
    const version = await test.latest(key);
    assert.ok(version);
    await using dir = await makeTempDir();
    const path = join(dir.path, "disk.raw");
    await using file = await open(path, "wx");
    const slow = {
      truncate: (bytes: number) => file.truncate(bytes),
      write: (bytes: Buffer, offset: number, length: number, position: number) =>
        file.write(bytes, offset, Math.min(length, 50_000), position),
    } as Pick<FileHandle, "truncate" | "write">; // of its forms only this one is called
    await exportDisk(version, slow, { records: recordsOf(test.store, test.account), signal });
    assert.ok((await readFile(path)).equals(await version.read(0, DISK_CHUNKS * CHUNK_BYTES, { signal })));
  });

  it("fails on a damaged chunk rather than write other bytes", async () => {
    const { test, key } = await example();
    const [pack] = await keysOf(test, "/packs/");
    const version = await test.latest(key);
    assert.ok(pack && version);
    const { bytes } = await test.store.get(pack);
    bytes[200] = (bytes[200] ?? 0) ^ 1;
    await test.store.put(pack, bytes);
    await using dir = await makeTempDir();
    await using file = await open(join(dir.path, "disk.raw"), "wx");
    const options = { records: recordsOf(test.store, test.account), signal };
    await assert.rejects(exportDisk(version, file, options), { code: "chunk_corrupt" });
  });
});
