import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Manifest } from "./format/manifest.ts";
import type { RecordRef } from "./format/records.ts";
import { encodeTable, type Table } from "./format/table.ts";
import type { RecordSource } from "./record-source.ts";
import { createTableCache } from "./table-cache.ts";
import { createVersionReader } from "./version-reader.ts";

/** What is in it is not looked at. */
const tableOf = (chunks: number): Table =>
  new Map(Array.from({ length: chunks }, (_, place) => [place, {} as RecordRef]));

describe("createTableCache", () => {
  it("keeps what was used last, as many tables as list so many chunks together", () => {
    const cache = createTableCache({ maxChunks: 10 });
    const [first, second, third] = [tableOf(4), tableOf(4), tableOf(3)];
    cache.put("first", first);
    cache.put("second", second);
    cache.put("second", second);
    assert.equal(cache.get("first"), first);
    cache.put("third", third);
    assert.equal(cache.get("second"), undefined);
    assert.equal(cache.get("first"), first);
    assert.equal(cache.get("third"), third);
    cache.put("whole", tableOf(10));
    assert.deepEqual(["first", "third"].map(cache.get), [undefined, undefined]);
    assert.equal(cache.get("whole")?.size, 10);
  });

  it("is shared by all readers of one source, each of which else has its own", async () => {
    const { signal } = new AbortController();
    const ref = {
      ...{ pack: "0".repeat(32), offset: 16, storedBytes: 9, plainBytes: 65_536, codec: 1 as const },
      sha256: "1".repeat(64),
    };
    let reads = 0;
    const own: RecordSource = {
      async get() {
        reads++;
        return encodeTable(new Map([[5, ref]]));
      },
      getAll: async () => [],
    };
    const shared = { ...own, tables: createTableCache({ maxChunks: 10 }) };
    const manifest = { tables: new Map([[0, ref]]), diskBytes: 1 << 25 } as unknown as Manifest; // what is looked at
    for (const [records, expected] of [
      [own, 3],
      [shared, 1],
    ] as const) {
      reads = 0;
      for (let reader = 0; reader < 3; reader++) {
        const version = createVersionReader({ name: { seq: 1, sha256: "" }, manifest, records });
        for (let times = 0; times < 2; times++) assert.deepEqual(await version.chunk(5, { signal }), ref);
      }
      assert.equal(reads, expected);
    }
  });
});
