/** What every object store does with writes that depend on what is there, and with writes at the same time. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { isAppError } from "@mags/core";
import type { ObjectStore, OwnedObjectStore, PutOptions } from "@mags/object-store";
import { bytesOf, rejectsWith } from "./object-store.conformance.ts";

const text = async (store: ObjectStore, key: string) => (await store.get(key)).bytes.toString();

export function describeConditionalWrites(open: () => Promise<OwnedObjectStore>): void {
  describe("conditional writes", () => {
    it("make an object only when there is none", async () => {
      await using store = await open();
      await store.put("key", bytesOf("first"), { ifAbsent: true });
      await rejectsWith(store.put("key", bytesOf("second"), { ifAbsent: true }), "precondition_failed");
      await rejectsWith(store.put("key", bytesOf("first"), { ifAbsent: true }), "precondition_failed");
      assert.equal(await text(store, "key"), "first");
      await store.delete("key");
      await store.put("key", bytesOf("third"), { ifAbsent: true });
      assert.equal(await text(store, "key"), "third");
    });

    it("replace the version they name, and no other", async () => {
      await using store = await open();
      const first = await store.put("key", bytesOf("1"));
      const second = await store.put("key", bytesOf("2"), { ifMatch: first.etag });
      await rejectsWith(store.put("key", bytesOf("3"), { ifMatch: first.etag }), "precondition_failed");
      assert.deepEqual(await store.get("key"), { bytes: bytesOf("2"), etag: second.etag });
      await store.put("key", bytesOf("4"), { ifMatch: (await store.head("key"))?.etag ?? "" });
      await rejectsWith(store.put("none", bytesOf("5"), { ifMatch: second.etag }), "precondition_failed");
      assert.equal(await store.head("none"), undefined);
      const { etag } = await store.get("key");
      await store.delete("key");
      await rejectsWith(store.put("key", bytesOf("6"), { ifMatch: etag }), "precondition_failed");
    });

    it("have one winner", async () => {
      await using store = await open();
      const race = async (round: number, options: PutOptions) => {
        const wrote = await Promise.all(
          Array.from({ length: 12 }, (_, number) =>
            store.put("key", bytesOf(`${round}, writer ${number}`), options).then(
              () => [`${round}, writer ${number}`],
              (error: unknown) => {
                // A store that was in the middle of another of these writes may ask to come again.
                if (isAppError(error, "precondition_failed") || isAppError(error, "unavailable")) return [];
                throw error;
              },
            ),
          ),
        );
        assert.deepEqual(wrote.flat(), [await text(store, "key")]);
      };
      await race(0, { ifAbsent: true });
      for (let round = 1; round < 4; round++) await race(round, { ifMatch: (await store.get("key")).etag });
    });

    it("lose no count of writers that take turns", async () => {
      await using store = await open();
      await store.put("count", bytesOf("0"));
      const count = async () => {
        for (let done = 0, tries = 0; done < 5; tries++) {
          assert.ok(tries < 200, "one of four writers gets its turn in the end");
          const { bytes, etag } = await store.get("count");
          const next = bytesOf(String(Number(bytes.toString()) + 1));
          try {
            await store.put("count", next, { ifMatch: etag });
            done++;
          } catch (error) {
            if (!isAppError(error, "precondition_failed") && !isAppError(error, "unavailable")) throw error;
          }
        }
      };
      await Promise.all([count(), count(), count(), count()]);
      assert.equal(await text(store, "count"), "20");
    });

    it("and others show readers one whole version at a time", async () => {
      await using store = await open();
      const version = (number: number) => Buffer.alloc(100_000 + 7_777 * number, number);
      await store.put("key", version(0));
      let writing = true;
      const write = async () => {
        for (let round = 1; round <= 10; round++) await store.put("key", version(round));
        writing = false;
      };
      const read = async () => {
        while (writing) {
          const { bytes } = await store.get("key");
          assert.ok(bytes.equals(version(bytes[0] ?? 0)), "a mixture of two versions");
        }
      };
      await Promise.all([write(), read(), read()]);
      assert.ok((await store.get("key")).bytes.equals(version(10)));
    });
  });
}
