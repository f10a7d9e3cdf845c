import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { parsePlace } from "./place.ts";
import { fileTarget, folderTarget } from "./target.ts";

describe("parsePlace", () => {
  it("tells a path of this machine from one in a VM", () => {
    assert.deepEqual(parsePlace("box:/etc/hosts"), { kind: "job", job: "box", path: "/etc/hosts" });
    assert.deepEqual(parsePlace("box:"), { kind: "job", job: "box", path: "." });
    assert.deepEqual(parsePlace("box:-a\nb:c"), { kind: "job", job: "box", path: "-a\nb:c" });
    for (const path of ["./box:x", "/a:b", "a/b:c", "-x", "-x:y", ".", ":x"])
      assert.deepEqual(parsePlace(path), { kind: "here", path });
    assert.throws(() => parsePlace(""), /empty/);
  });
});

describe("fileTarget", () => {
  it("goes into folders that are there", () => {
    assert.equal(fileTarget("a/b", "c", "folder"), "c/b");
    assert.equal(fileTarget("a/b", "c/", "folder"), "c/b");
    assert.equal(fileTarget("a/b", "c", "file"), "c");
    assert.equal(fileTarget("a/b", "c", null), "c");
    assert.throws(() => fileTarget("a/b", "c/", null), /not there/);
  });
});

describe("folderTarget", () => {
  it("becomes what is not there, and goes into what is, or its content does", () => {
    assert.deepEqual(folderTarget("a/b/", "c", null), { path: "c", whole: true });
    assert.deepEqual(folderTarget("a/b/", "c", "folder"), { path: "c/b", whole: true });
    for (const content of ["a/b/.", ".", "/", "..", "./"])
      assert.deepEqual(folderTarget(content, "c", "folder"), { path: "c", whole: false });
    assert.throws(() => folderTarget("a", "c", "file"), /over c/);
  });
});
