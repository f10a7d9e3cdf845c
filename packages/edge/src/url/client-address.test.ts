import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { clientAddress } from "./client-address.ts";

const isTrusted = (address: string) => address.startsWith("10.");
const seen = (remoteAddress: string, told?: string) =>
  clientAddress(
    { socket: { remoteAddress }, headers: told === undefined ? {} : { "x-forwarded-for": told } },
    isTrusted,
  );

describe("the address of a client", () => {
  it("is that of the connection, whatever is said, unless a proxy that is trusted has it", () => {
    assert.equal(seen("::ffff:192.0.2.7"), "192.0.2.7");
    assert.equal(seen("192.0.2.7", "198.51.100.1"), "192.0.2.7");
  });

  it("is the nearest before proxies that are trusted, and not what that says itself", () => {
    assert.equal(seen("10.0.0.1", "203.0.113.9, 198.51.100.1"), "198.51.100.1");
    assert.equal(seen("10.0.0.1", "203.0.113.9, 198.51.100.1, 10.0.0.2"), "198.51.100.1");
    assert.equal(seen("10.0.0.1", "10.0.0.3,10.0.0.2"), "10.0.0.3");
    assert.equal(seen("10.0.0.1"), "10.0.0.1");
    assert.equal(seen("10.0.0.1", " , "), "10.0.0.1");
  });
});
