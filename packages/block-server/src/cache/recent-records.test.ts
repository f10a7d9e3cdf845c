import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createRecentRecords } from "./recent-records.ts";

describe("createRecentRecords", () => {
  it("keeps the newest, as many as have room, each for its account", () => {
    const recent = createRecentRecords({ maxBytes: 10 });
    recent.put("a", "1", Buffer.from("1111"));
    recent.put("a", "2", Buffer.from("2222"));
    recent.put("a", "2", Buffer.from("2222"));
    assert.equal(recent.get("b", "1"), undefined);
    assert.equal(recent.get("a", "1")?.toString(), "1111");
    recent.put("a", "3", Buffer.from("333"));
    assert.equal(recent.get("a", "1"), undefined);
    assert.equal(recent.get("a", "2")?.toString(), "2222");
    assert.equal(recent.get("a", "3")?.toString(), "333");
  });

  it("does not keep what is larger than all its room", () => {
    const recent = createRecentRecords({ maxBytes: 3 });
    recent.put("a", "1", Buffer.from("1"));
    recent.put("a", "2", Buffer.from("2222"));
    assert.equal(recent.get("a", "2"), undefined);
    assert.equal(recent.get("a", "1")?.toString(), "1");
  });
});
