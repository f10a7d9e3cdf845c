import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, it } from "node:test";
import { silentLogger } from "@mags/core";
import { createMemoryStore } from "@mags/object-store";
import { makeTempDir } from "@mags/test-kit";
import { createTableCache, recordsOf } from "@mags/workspace-store";
import { cachedRecords } from "./cached-records.ts";
import { createRecentRecords } from "./recent-records.ts";
import { openRecordCache } from "./record-cache.ts";

describe("cachedRecords", () => {
  it("keeps tables of all accounts in one bound, and shows none to another account", async () => {
    await using dir = await makeTempDir();
    await using cache = openRecordCache(join(dir.path, "cache"), { maxBytes: 1, log: silentLogger });
    const { signal } = new AbortController();
    const store = createMemoryStore();
    const shared = { recent: createRecentRecords({ maxBytes: 1 }), tables: createTableCache({ maxChunks: 2 }), signal };
    const of = (account: string) => cachedRecords(recordsOf(store, account), cache, { account, ...shared }).tables;
    const [first, second] = [of("first"), of("second")];
    const table = () =>
      new Map([[0, { pack: "", offset: 0, storedBytes: 1, plainBytes: 1, codec: 0, sha256: "" } as const]]);
    first?.put("a", table());
    assert.ok(first?.get("a"));
    assert.equal(second?.get("a"), undefined);
    second?.put("a", table());
    second?.put("b", table());
    assert.equal(first?.get("a"), undefined);
    assert.ok(second?.get("a"));
  });
});
