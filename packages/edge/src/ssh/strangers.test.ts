import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createStrangers, groupOf } from "./strangers.ts";

describe("createStrangers", () => {
  it("gives each address its places, and takes each back once", () => {
    const strangers = createStrangers(2);
    const first = strangers.take("192.0.2.1");
    assert.ok(first && strangers.take("192.0.2.1"));
    assert.equal(strangers.take("192.0.2.1"), undefined);
    assert.ok(strangers.take("192.0.2.2"));
    first();
    first();
    assert.ok(strangers.take("192.0.2.1"));
    assert.equal(strangers.take("192.0.2.1"), undefined);
  });

  it("takes a network of IPv6 for one, and an address of IPv4 for itself however it is written", () => {
    assert.equal(groupOf("::ffff:192.0.2.1"), "192.0.2.1");
    assert.equal(groupOf("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
    assert.equal(groupOf("2001:db8::6"), "2001:db8:0:0::/64");
    assert.equal(groupOf("::1"), "0:0:0:0::/64");
  });
});
