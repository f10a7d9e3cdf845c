import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { DEMAND_WINDOW_MS, greatestBurst, planPool } from "./plan.ts";

const limits = { minIdle: 4, maxIdle: 20, slotShare: 0.25 };
const quiet = { takenAtMs: [], nowMs: 0, mounted: 0, slot: 0, parking: 0, roomFor: 100 };

describe("planPool", () => {
  it("parks up to the minimum, the share without a disk first", () => {
    assert.deepEqual(planPool(limits, quiet), { kind: "park", mounted: false });
    assert.deepEqual(planPool(limits, { ...quiet, slot: 1 }), { kind: "park", mounted: true });
    assert.deepEqual(planPool(limits, { ...quiet, slot: 1, mounted: 2, parking: 1 }), { kind: "none" });
  });

  it("keeps ready what a burst of the last five minutes needed, and no longer", () => {
    const takenAtMs = Array.from({ length: 12 }, (_, n) => 1_000 + n * 100);
    const seen = { ...quiet, takenAtMs, mounted: 8, slot: 3, nowMs: 10_000 };
    assert.deepEqual(planPool(limits, seen), { kind: "park", mounted: true });
    assert.deepEqual(planPool(limits, { ...seen, nowMs: 10_000 + DEMAND_WINDOW_MS }), { kind: "retire" });
  });

  it("never plans more than the cap, and gives way when memory runs short", () => {
    const takenAtMs = Array.from({ length: 50 }, () => 0);
    assert.deepEqual(planPool(limits, { ...quiet, takenAtMs, mounted: 15, slot: 5 }), { kind: "none" });
    assert.deepEqual(planPool(limits, { ...quiet, roomFor: 0 }), { kind: "none" });
    assert.deepEqual(planPool(limits, { ...quiet, mounted: 2, roomFor: -1 }), { kind: "retire" });
  });
});

describe("greatestBurst", () => {
  it("counts what was taken within ten seconds", () => {
    assert.equal(greatestBurst([], 0), 0);
    assert.equal(greatestBurst([0, 5_000, 9_000, 16_000, 60_000], 60_000), 3);
  });
});
