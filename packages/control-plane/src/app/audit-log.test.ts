import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { AppError, silentLogger, systemClock } from "@mags/core";
import { waitFor } from "@mags/test-kit";
import type { AuditEntry } from "./audit-entry.ts";
import { createAuditLog } from "./audit-log.ts";
import type { NewAuditRecord } from "./audit-store.ts";

const entry = (fields: Partial<AuditEntry> = {}): AuditEntry => ({
  ...{ action: "ssh_signed_in", accountId: null, target: "box", clientAddress: "192.0.2.1", data: {} },
  ...fields,
});

function setUp({
  mostWaiting,
  add,
}: {
  mostWaiting?: number;
  add?: (records: readonly NewAuditRecord[]) => Promise<void>;
} = {}) {
  const stored: NewAuditRecord[] = [];
  const batches: number[] = [];
  const store = {
    async add(records: readonly NewAuditRecord[]) {
      await add?.(records);
      batches.push(records.length);
      stored.push(...records);
    },
  };
  const audit = createAuditLog(
    { store, clock: systemClock, log: silentLogger },
    mostWaiting === undefined ? {} : { mostWaiting },
  );
  return { audit, stored, batches, [Symbol.asyncDispose]: () => audit.close({ deadlineMs: 1_000 }) };
}

describe("createAuditLog", () => {
  it("stores entries in their order, many at once", async () => {
    await using test = setUp();
    for (let index = 0; index < 1_200; index++) test.audit.note(entry({ target: `box-${index}` }));
    await waitFor(() => test.stored.length === 1_200, { what: "the entries" });
    assert.deepEqual(
      test.stored.map(({ target }) => target),
      Array.from({ length: 1_200 }, (_, index) => `box-${index}`),
    );
    assert.deepEqual(test.batches, [500, 500, 200]);
  });

  it("keeps entries while the database is away, under the same ids", async () => {
    let failures = 2;
    const tried: unknown[] = [];
    await using test = setUp({
      async add(records) {
        tried.push(records[0]?.noteId);
        if (failures-- > 0) throw new AppError("unavailable", "away");
      },
    });
    test.audit.note(entry());
    await waitFor(() => test.stored.length === 1, { what: "the entry" });
    assert.deepEqual(tried, Array(3).fill(test.stored[0]?.noteId));
  });

  it("holds a bounded number of entries, cut to a bounded length, and says how many are missing", async () => {
    const back = Promise.withResolvers<void>();
    await using test = setUp({ mostWaiting: 100, add: () => back.promise });
    const long = "x".repeat(100_000);
    for (let index = 0; index < 150; index++) test.audit.note(entry({ target: long, data: { login: long } }));
    back.resolve();
    await test.audit.close({ deadlineMs: 5_000 });
    assert.equal(test.stored.length, 101);
    assert.deepEqual(test.stored.at(-1)?.action, "entries_lost");
    assert.deepEqual(test.stored.at(-1)?.data, { entries: 50 });
    assert.ok(test.stored.every(({ target }) => (target?.length ?? 0) <= 256));
    assert.ok(test.stored.every(({ data }) => String(data.login ?? "").length <= 256));
  });

  it("keeps a bounded number of keys of an entry, cut to a bounded length, and says how many are missing", async () => {
    await using test = setUp();
    const data = Object.fromEntries(Array.from({ length: 10_000 }, (_, index) => [`key_${index}`, index]));
    test.audit.note(entry({ data, clientAddress: "1".repeat(100_000) }));
    test.audit.note(entry({ data: { ["k".repeat(100_000)]: 1 } }));
    await test.audit.close({ deadlineMs: 5_000 });
    const [many, long] = test.stored;
    assert.deepEqual(Object.keys(many?.data ?? {}).slice(-2), ["key_30", "keys_missing"]);
    assert.equal(many?.data.keys_missing, 10_000 - 31);
    assert.equal(many?.clientAddress?.length, 256);
    assert.deepEqual(Object.values(long?.data ?? {}), [1]);
    assert.ok(Object.keys(long?.data ?? {}).every((key) => key.length <= 64));
  });

  it("drops what the database refuses for what it is, nothing else, and says how much", async () => {
    await using test = setUp({
      async add(records) {
        if (records.some(({ target }) => target?.startsWith("bad"))) throw new TypeError("no such uuid");
      },
    });
    for (const target of ["one", "bad", "two", "three", "bad too", "four", "five"]) test.audit.note(entry({ target }));
    await test.audit.close({ deadlineMs: 5_000 });
    assert.deepEqual(
      test.stored.map(({ target, data }) => [target, data]),
      [...["one", "two", "three", "four", "five"].map((target) => [target, {}]), [null, { entries: 2 }]],
    );
  });

  it("gives up at the deadline of its end", async () => {
    const never = Promise.withResolvers<void>();
    await using test = setUp({ add: () => never.promise });
    test.audit.note(entry());
    await test.audit.close({ deadlineMs: 20 });
    assert.deepEqual(test.stored, []);
    never.resolve();
  });

  it("writes a flood of refused sign-ins down as few entries", async () => {
    await using test = setUp();
    for (let index = 0; index < 5_000; index++)
      test.audit.note(entry({ action: "ssh_refused", data: { attempts: 6 } }));
    await test.audit.close({ deadlineMs: 1_000 });
    assert.equal(test.stored.length, 21);
    assert.deepEqual(test.stored.at(-1)?.data, { attempts: 4_980 * 6 });
  });
});
