import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createRefusalCounter } from "./refusal-counter.ts";

describe("createRefusalCounter", () => {
  it("admits 20 a minute of an address, and counts the rest until the minute is over", () => {
    const counter = createRefusalCounter();
    const address = "192.0.2.1";
    const admitted = Array.from({ length: 50 }, (_, index) => counter.admit({ address, attempts: 2 }, index)).filter(
      Boolean,
    );
    assert.equal(admitted.length, 20);
    assert.equal(counter.admit({ address: "192.0.2.2", attempts: 1 }, 50), true);
    assert.deepEqual(counter.take(59_999), []);
    assert.deepEqual(counter.take(60_000), [{ address, attempts: 60 }]);
    assert.equal(counter.active, false);
    assert.equal(counter.admit({ address, attempts: 1 }, 60_001), true);
  });

  it("remembers a bounded number of addresses, and counts the others together", () => {
    const counter = createRefusalCounter();
    let admitted = 0;
    for (let index = 0; index < 50_000; index++)
      if (counter.admit({ address: `2001:db8::${index % 10_000}`, attempts: 1 }, 0)) admitted++;
    const counted = counter.take(0, { now: true });
    assert.ok(counted.length <= 201, `${counted.length} addresses`);
    assert.ok(admitted <= 400, `${admitted} admitted`);
    assert.equal(counted.reduce((sum, { attempts }) => sum + attempts, 0) + admitted, 50_000);
    assert.ok(counted.some(({ address }) => address === null));
  });
});
