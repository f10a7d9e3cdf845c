import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createAllowance } from "./allowance.ts";

describe("createAllowance", () => {
  it("gives a hundred a second", () => {
    let now = 5_000;
    const allowance = createAllowance(() => now);
    const taken = () => Array.from({ length: 150 }, () => allowance.take()).filter(Boolean).length;
    assert.equal(taken(), 100);
    now += 999;
    assert.equal(taken(), 0);
    now += 1;
    assert.equal(taken(), 100);
  });
});
