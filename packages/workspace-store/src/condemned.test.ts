import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createMemoryStore } from "@mags/object-store";
import { judge, readCondemned, tryWriteCondemned } from "./condemned.ts";

const { signal } = new AbortController();
const KEY = "condemned";
const GRACE_MS = 24 * 3_600_000;
const at = (hour: number) => new Date(Date.UTC(2026, 0, 1, hour));

/** A look that finds this garbage. */
async function look(store: ReturnType<typeof createMemoryStore>, hour: number, garbage: Iterable<string>) {
  const before = await readCondemned(store, KEY, { signal });
  const judgement = judge(garbage, before, { now: at(hour), graceMs: GRACE_MS });
  assert.ok(await tryWriteCondemned(store, KEY, { judgement, before, signal }));
  return before;
}

describe("the list of what is condemned", () => {
  it("begins anew when it is damaged, and says so once", async () => {
    for (const garbage of [["a"], []]) {
      const store = createMemoryStore();
      await look(store, 0, ["a", "b"]);
      const { bytes } = await store.get(KEY);
      await store.put(KEY, bytes.subarray(0, -2));
      assert.match((await look(store, 1, garbage)).damage ?? "", /it is no JSON: all that it lists is waited for anew/);
      const after = await look(store, 2, garbage);
      assert.deepEqual([after.damage, [...after.agesMs]], [null, garbage.map((name) => [name, 0])]);
    }
  });

  it("is left alone in a format that is not known", async () => {
    const store = createMemoryStore();
    await store.put(KEY, Buffer.from('{"magic":"mags-condemned","format":2}'));
    await assert.rejects(readCondemned(store, KEY, { signal }), { code: "store_corrupt" });
  });

  it("is never longer than what is read, and has the oldest", async () => {
    const store = createMemoryStore();
    const names = Array.from({ length: 17_000 }, (_, i) => `${i} `.padEnd(4000, "x"));
    const old = names.slice(-100);
    await look(store, 0, old);
    await look(store, 1, names);
    const { agesMs } = await readCondemned(store, KEY, { signal });
    assert.ok(agesMs.size < names.length && agesMs.size > 16_000, String(agesMs.size));
    assert.ok(old.every((name) => agesMs.get(name) === GRACE_MS / 24));
  });
});
