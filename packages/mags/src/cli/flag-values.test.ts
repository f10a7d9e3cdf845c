import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { environmentEntry, label, seconds, wholeNumber } from "./flag-values.ts";

describe("flag values", () => {
  it("whole numbers start at 1 and are plain digits", () => {
    assert.equal(wholeNumber("12"), 12);
    for (const text of ["0", "-1", "1.5", "1e3", "", "x", "0x10", " 1", "99999999999999999999"])
      assert.throws(() => wholeNumber(text), /whole number/);
  });

  it("seconds may have fractions and become milliseconds", () => {
    assert.equal(seconds("1.5"), 1500);
    assert.equal(seconds(".25"), 250);
    for (const text of ["0", "0.0", "-1", "1e3", "", "x", "Infinity", "1."])
      assert.throws(() => seconds(text), /seconds/);
  });

  it("assignments are collected; the value begins after the first equals sign", () => {
    const entry = environmentEntry({ HERE: "value" });
    assert.deepEqual(entry("B=", entry("A=x=y")), { A: "x=y", B: "" });
    assert.deepEqual(entry("HERE"), { HERE: "value" });
    assert.throws(() => entry("MISSING"), /no variable MISSING/);
    assert.throws(() => entry("=x"), /KEY=VALUE/);
    assert.deepEqual(label("k=v"), { k: "v" });
    assert.throws(() => label("k"), /KEY=VALUE/);
  });
});
