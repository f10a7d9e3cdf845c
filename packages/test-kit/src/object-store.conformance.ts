/** What every object store does, whatever it keeps its objects in. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type ErrorCode, isAppError } from "@mags/core";
import { compareKeys, MAX_KEY_BYTES, type ObjectStore, type OwnedObjectStore } from "@mags/object-store";
import { collectAll } from "./collect-all.ts";
import { describeConditionalWrites } from "./object-store-writes.conformance.ts";
import { createSeededRandom, seedFrom } from "./seeded-random.ts";

export interface ObjectStoreConformance {
  /** A store without objects, each time. */
  open(): Promise<OwnedObjectStore>;
  /** Whether it refuses a key that is the folder of another. */
  readonly refusesFoldersInTheWay: boolean;
}

export const bytesOf = (text: string) => Buffer.from(text);
export const rejectsWith = (action: Promise<unknown>, code: ErrorCode) =>
  assert.rejects(
    action,
    (error) => isAppError(error, code) || assert.fail(`${code} was expected, not ${String(error)}`),
  );
const keysOf = async (store: ObjectStore, prefix = "", after?: string) =>
  (await collectAll(store.list(prefix, { after }))).map(({ key }) => key);

const ODD_KEYS = [
  "a b/ c /d",
  "plus+and%20percent%2Fs",
  "!'()*;:@&=$,?#[]\"<>\\^`{|}~",
  ".hidden/..two/...",
  "ünïcödé/日本語/😀",
  "e\u0301/\u00e9", // the same letter in two ways: different keys
  `${"l".repeat(255)}/${"k".repeat(250)}/${"m".repeat(MAX_KEY_BYTES - 507)}`,
];
const IMPOSSIBLE_KEYS = ["", "/", "a/", "/a", "a//b", ".", "a/..", "../a", "a\u0000b", "a\nb", "\ud800"];
const TOO_LONG_KEYS = ["x".repeat(256), Array.from({ length: 3 }, () => "y".repeat(200)).join("/")];

export function describeObjectStore(name: string, conformance: ObjectStoreConformance): void {
  const { open } = conformance;

  describe(`object store: ${name}`, () => {
    it("gives back what was put, whole or in part, and what is known of it", async () => {
      await using store = await open();
      for (const [key, bytes] of [
        ["empty", Buffer.alloc(0)],
        ["folder/text", bytesOf("0123456789")],
        ["folder/large", createSeededRandom(1).bytes(1_500_001)],
      ] as const) {
        const from = Date.now();
        const { etag } = await store.put(key, bytes);
        assert.deepEqual(await store.get(key), { bytes, etag });
        const head = await store.head(key);
        assert.equal(head?.sizeBytes, bytes.length);
        assert.equal(head?.etag, etag);
        const modifiedAt = head?.modifiedAt.getTime() ?? 0;
        assert.ok(Math.abs(modifiedAt - from) < 60_000, `${key} was changed at ${modifiedAt}, not ${from}`);
      }
      const part = async (start: number, end: number) =>
        (await store.get("folder/text", { range: { start, end } })).bytes.toString();
      assert.deepEqual(await Promise.all([part(0, 1), part(9, 10), part(2, 5), part(0, 10)]), [
        "0",
        "9",
        "234",
        "0123456789",
      ]);
    });

    it("refuses ranges that are not there, and those that cannot be", async () => {
      await using store = await open();
      await store.put("text", bytesOf("0123456789"));
      await store.put("empty", Buffer.alloc(0));
      const get = (key: string, start: number, end: number) => store.get(key, { range: { start, end } });
      await rejectsWith(get("text", 10, 11), "range_not_satisfiable");
      await rejectsWith(get("text", 5, 11), "range_not_satisfiable");
      await rejectsWith(get("empty", 0, 1), "range_not_satisfiable");
      await rejectsWith(get("none", 0, 1), "object_not_found");
      for (const [start, end] of [
        [3, 3],
        [4, 3],
        [-1, 3],
        [0.5, 3],
        [0, Number.POSITIVE_INFINITY],
      ] as const)
        await rejectsWith(get("text", start, end), "validation_failed");
    });

    it("says of what is not there that it is not, and removes it all the same", async () => {
      await using store = await open();
      await store.put("here/a", bytesOf("a"));
      for (const key of ["none", "here", "here/a/b", "here/b"]) {
        await rejectsWith(store.get(key), "object_not_found");
        assert.equal(await store.head(key), undefined);
        await store.delete(key);
      }
      await store.delete("here/a");
      await store.delete("here/a");
      await rejectsWith(store.get("here/a"), "object_not_found");
      assert.deepEqual(await keysOf(store), []);
    });

    it("shares no memory with its callers", async () => {
      await using store = await open();
      const given = bytesOf("given");
      await store.put("key", given);
      given.fill(0);
      (await store.get("key")).bytes.fill(0);
      assert.equal((await store.get("key")).bytes.toString(), "given");
    });

    it("keeps keys of odd characters apart", async () => {
      await using store = await open();
      for (const key of ODD_KEYS) await store.put(key, bytesOf(key));
      for (const key of ODD_KEYS) assert.equal((await store.get(key)).bytes.toString(), key);
      assert.deepEqual(await keysOf(store), ODD_KEYS.toSorted(compareKeys));
      for (const key of ODD_KEYS) assert.deepEqual(await keysOf(store, key), [key]);
      for (const key of ODD_KEYS) await store.delete(key);
      assert.deepEqual(await keysOf(store), []);
    });

    it("refuses keys that cannot be", async () => {
      await using store = await open();
      for (const key of [...IMPOSSIBLE_KEYS, ...TOO_LONG_KEYS]) {
        await rejectsWith(store.put(key, bytesOf("x")), "validation_failed");
        await rejectsWith(store.get(key), "validation_failed");
        await rejectsWith(store.head(key), "validation_failed");
        await rejectsWith(store.delete(key), "validation_failed");
      }
      for (const prefix of ["/", "a//", "../", "a/../b", "a\nb"])
        await rejectsWith(collectAll(store.list(prefix)), "validation_failed");
    });

    it("lists by prefix, in the order of the keys' bytes, from any key on", async () => {
      await using store = await open();
      const keys = ["a", "a b", "a-b/x", "a.b", "aa/1", "aa/10", "aa/2", "aa/b/c", "b", "z/\uffee", "z/😀", "é"];
      for (const key of keys.toReversed()) await store.put(key, bytesOf(key));
      assert.deepEqual(await keysOf(store), keys);
      assert.deepEqual(await keysOf(store, "aa/"), ["aa/1", "aa/10", "aa/2", "aa/b/c"]);
      assert.deepEqual(await keysOf(store, "aa/1"), ["aa/1", "aa/10"]);
      assert.deepEqual(await keysOf(store, "aa/b"), ["aa/b/c"]);
      assert.deepEqual(await keysOf(store, "nothing"), []);
      assert.deepEqual(await keysOf(store, "nothing/below/"), []);
      for (const after of [...keys, "a!", "aa", "aa/b", "zz"])
        assert.deepEqual(
          await keysOf(store, "", after),
          keys.filter((key) => compareKeys(key, after) > 0),
          after,
        );
      assert.deepEqual(await keysOf(store, "aa/", "aa/10"), ["aa/2", "aa/b/c"]);
      for (const { key, sizeBytes, modifiedAt } of await collectAll(store.list(""))) {
        assert.equal(sizeBytes, Buffer.byteLength(key));
        assert.ok(Math.abs(modifiedAt.getTime() - Date.now()) < 60_000);
      }
    });

    it("lists what is removed meanwhile, and is left in the middle", async () => {
      await using store = await open();
      const keys = Array.from({ length: 25 }, (_, number) => `f${number % 3}/${String(number).padStart(2, "0")}`);
      await Promise.all(keys.map((key) => store.put(key, bytesOf(key))));
      for await (const { key } of store.list("")) if (key.startsWith("f1/")) break;
      const seen: string[] = [];
      for await (const { key } of store.list("")) {
        seen.push(key);
        await store.delete(key);
      }
      assert.deepEqual(seen, keys.toSorted(compareKeys));
      assert.deepEqual(await keysOf(store), []);
    });

    it("begins nothing for a signal that is aborted, and rejects with its reason", async () => {
      await using store = await open();
      await store.put("key", bytesOf("as it was"));
      const reason = new Error("enough");
      const signal = AbortSignal.abort(reason);
      for (const call of [
        () => store.get("key", { signal }),
        () => store.head("key", { signal }),
        () => store.put("key", bytesOf("new"), { signal }),
        () => store.delete("key", { signal }),
        () => collectAll(store.list("", { signal })),
      ])
        await assert.rejects(call, reason);
      assert.equal((await store.get("key")).bytes.toString(), "as it was");
    });

    if (conformance.refusesFoldersInTheWay)
      it("refuses a key that is the folder of another", async () => {
        await using store = await open();
        await store.put("a/b/c", bytesOf("1"));
        for (const key of ["a", "a/b", "a/b/c/d", "a/b/c/d/e"]) {
          await rejectsWith(store.put(key, bytesOf("2")), "validation_failed");
          await rejectsWith(store.put(key, bytesOf("2"), { ifAbsent: true }), "validation_failed");
        }
        assert.deepEqual(await keysOf(store), ["a/b/c"]);
        await store.delete("a/b/c");
        await store.put("a", bytesOf("2"));
      });

    it("does what a table of keys and values does, over many random calls", async () => {
      await using store = await open();
      await compareWithTable(store, seedFrom(process.env.MAGS_SEED));
    });

    describeConditionalWrites(open);
  });
}

/** Makes random calls and compares all that they say with a Map. */
async function compareWithTable(store: ObjectStore, seed: number): Promise<void> {
  const random = createSeededRandom(seed);
  const table = new Map<string, { readonly value: string; readonly etag: string }>();
  const keys = ["a", "b/1", "b/2", "b/c/1", "c d"];
  const where = `MAGS_SEED=${seed}`;
  const { etag: staleEtag } = await store.put("stale", bytesOf("before"));
  await store.delete("stale");
  for (let step = 0; step < 150; step++) {
    const key = random.pick(keys);
    const held = table.get(key);
    const value = `${step}`.repeat(random.between(1, 9));
    const put = async (condition: { ifAbsent: true } | { ifMatch: string } | Record<never, never>, holds: boolean) => {
      const writing = store.put(key, bytesOf(value), condition);
      if (!holds) return rejectsWith(writing, "precondition_failed");
      const { etag } = await writing;
      assert.notEqual(etag, held?.etag, where);
      table.set(key, { value, etag });
    };
    await random.pick([
      () => put({}, true),
      () => put({ ifAbsent: true }, !held),
      () => put({ ifMatch: held?.etag ?? "none" }, held !== undefined),
      () => put({ ifMatch: staleEtag }, false),
      async () => {
        await store.delete(key);
        table.delete(key);
      },
      async () => {
        if (!held) return rejectsWith(store.get(key), "object_not_found");
        assert.deepEqual(await store.get(key), { bytes: bytesOf(held.value), etag: held.etag }, where);
      },
      async () => assert.equal((await store.head(key))?.etag, held?.etag, where),
      async () => assert.deepEqual(await keysOf(store), [...table.keys()].toSorted(compareKeys), where),
    ])();
  }
}
