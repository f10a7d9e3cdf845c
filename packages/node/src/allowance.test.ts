import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { createAllowance } from "./allowance.ts";

describe("createAllowance", () => {
  it("lets a burst pass, then says how long to wait, and fills up again to no more than the burst", () => {
    let now = 0;
    const allowance = createAllowance({ perSecond: 1_000, burst: 100, nowMs: () => now });
    assert.equal(allowance.spend(100), 0);
    assert.equal(allowance.spend(50), 50);
    now = 50;
    assert.equal(allowance.spend(0), 0);
    now = 10_000;
    assert.equal(allowance.spend(100), 0);
    assert.equal(allowance.spend(1), 1);
  });

  it("never lets more pass than its rate and one burst, when the waits are kept", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(500), fc.nat(300)), { maxLength: 50 }), (steps) => {
        let now = 0;
        let spent = 0;
        const allowance = createAllowance({ perSecond: 1_000, burst: 100, nowMs: () => now });
        for (const [cost, idleMs] of steps) {
          spent += cost;
          now += allowance.spend(cost);
          assert.ok(spent <= 100 + now, `${spent} in ${now} ms`);
          now += idleMs;
        }
      }),
    );
  });
});
