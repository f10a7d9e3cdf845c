import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { addressIn, formatAddress, parseCidr, rangesOverlap } from "./addresses.ts";

describe("parseCidr", () => {
  it("reads ranges and finds their addresses", () => {
    const range = parseCidr("10.213.0.0/16");
    assert.equal(addressIn(range, 1), "10.213.0.1");
    assert.equal(addressIn(range, 65_535), "10.213.255.255");
    assert.throws(() => addressIn(range, 65_536), RangeError);
  });

  it("refuses what is not a range, and says what the range would be", () => {
    for (const text of ["", "10.0.0.0", "10.0.0/8", "10.0.0.256/8", "10.0.0.0/33", "::/0", "10.0.0.0/8 "])
      assert.throws(() => parseCidr(text), RangeError);
    assert.throws(() => parseCidr("10.1.2.3/8"), /10\.0\.0\.0/);
  });

  it("is undone by formatAddress", () => {
    fc.assert(
      fc.property(fc.ipV4(), (address) => {
        assert.equal(formatAddress(parseCidr(`${address}/32`).base), address);
      }),
    );
  });
});

describe("rangesOverlap", () => {
  it("says whether two ranges have an address in common, whichever is the wider", () => {
    const overlap = (one: string, other: string) => rangesOverlap(parseCidr(one), parseCidr(other));
    assert.ok(overlap("127.0.0.0/24", "127.0.0.0/8"));
    assert.ok(overlap("0.0.0.0/1", "127.0.0.0/8"));
    assert.ok(!overlap("126.0.0.0/8", "127.0.0.0/8"));
    assert.ok(!overlap("10.0.0.0/24", "10.0.1.0/24"));
  });
});
