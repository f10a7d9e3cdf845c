import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { describe, it } from "node:test";

describe("magsd", () => {
  it("shows what a command takes where it is given an option that it does not know", () => {
    const words = [join(import.meta.dirname, "main.ts"), "edge-secret", "--config", "x"];
    const { status, stderr } = spawnSync(process.execPath, words, { encoding: "utf8" });
    assert.equal(status, 1);
    assert.match(stderr, /^error: unknown option '--config'\n\nUsage: magsd edge-secret \[options\] <file>\n/);
  });
});
