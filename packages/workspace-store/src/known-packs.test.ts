import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createKnownPacks } from "./known-packs.ts";

describe("createKnownPacks", () => {
  it("knows what was added, also of a manifest without packs, until it is gone", () => {
    const known = createKnownPacks();
    known.add("a/1", ["x", "y"]);
    known.add("a/2", []);
    known.add("b/1", ["z"]);
    assert.deepEqual([known.get("a/1"), known.get("a/2"), known.get("a/3")], [["x", "y"], [], undefined]);
    known.keepOnly(new Set(["a/2"]), { prefix: "a/" });
    assert.deepEqual([known.get("a/1"), known.get("a/2"), known.get("b/1")], [undefined, [], ["z"]]);
  });

  it("takes no more than it may, and again when there is room", () => {
    const known = createKnownPacks({ maxBytes: 20 });
    known.add("a/1", ["0123456789"]);
    known.add("a/1", ["0123456789"]);
    known.add("a/2", ["0123456789"]);
    assert.deepEqual([known.get("a/1"), known.get("a/2")], [["0123456789"], undefined]);
    known.keepOnly(new Set(), { prefix: "a/" });
    known.add("a/2", ["0123456789"]);
    assert.deepEqual([known.get("a/1"), known.get("a/2")], [undefined, ["0123456789"]]);
  });
});
