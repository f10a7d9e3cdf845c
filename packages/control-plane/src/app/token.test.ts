import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { hashToken, looksLikeToken, newToken, tokenPrefix } from "./token.ts";

describe("newToken", () => {
  it("makes tokens of 256 random bits that look like tokens and show little of themselves", () => {
    const [one, two] = [newToken(), newToken()];
    assert.notEqual(one, two);
    assert.equal(Buffer.from(one.slice("mags_".length), "base64url").length, 32);
    assert.ok(looksLikeToken(one));
    assert.equal(hashToken(one).length, 32);
    assert.equal(tokenPrefix(one), one.slice(0, 10));
  });

  it("tells what cannot be a token", () => {
    for (const text of ["", "mags_", newToken().slice(0, -1), `${newToken()}x`, newToken().replace("mags_", "MAGS_")])
      assert.equal(looksLikeToken(text), false);
  });
});
