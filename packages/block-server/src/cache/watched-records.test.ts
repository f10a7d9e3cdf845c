import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { AppError, silentLogger } from "@mags/core";
import type { RecordRef, RecordSource } from "@mags/workspace-store";
import { createStoreWatch, watchedRecords } from "./watched-records.ts";

const { signal } = new AbortController();

describe("watchedRecords", () => {
  it("logs one line when the store goes and one when it is back, of all who read", async () => {
    const logged: string[] = [];
    const line = (event: string) => void logged.push(event);
    const watch = createStoreWatch({ log: { ...silentLogger, info: line, warn: line } });
    let failure: Error | undefined;
    const read = async () => {
      if (failure) throw failure;
      return Buffer.alloc(0);
    };
    const source: RecordSource = { get: read, getAll: async (refs) => Promise.all(refs.map(read)) };
    const ref = {} as RecordRef; // nobody looks at it
    const readers = [1, 2, 3].map(() => watchedRecords(source, watch));
    const readAll = (options = { signal }) =>
      Promise.allSettled(readers.flatMap(({ get, getAll }) => [get(ref, options), getAll([ref, ref], options)]));
    for (let turn = 0; turn < 3; turn++) {
      logged.length = 0;
      failure = undefined;
      await readAll();
      assert.deepEqual(logged, turn === 0 ? [] : ["blocks.store_back"]);
      logged.length = 0;
      failure = new AppError("unavailable", "the store is away");
      for (let times = 0; times < 5; times++) await readAll();
      assert.deepEqual(logged, ["blocks.store_away"]);
    }
    failure = new AppError("chunk_corrupt", "flipped");
    await readAll();
    assert.deepEqual(logged, ["blocks.store_away", "blocks.store_back"], "what is damaged was answered");
    failure = new Error("the block server ends");
    await readAll({ signal: AbortSignal.abort(failure) });
    assert.equal(logged.length, 2);
  });
});
