import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { HeadVersion } from "@mags/workspace-store";
import { getsVersions } from "./gets-versions.ts";

const NOW = new Date("2026-06-15T12:00:00Z");
const MINE = { holder: "node-a", expires_at: NOW.toISOString() };

const version = (ageHours: number, reason: HeadVersion["reason"] = "stop"): HeadVersion => ({
  ...{
    seq: 1,
    sha256: "0".repeat(64),
    created_at: new Date(NOW.getTime() - ageHours * 3_600_000).toISOString(),
    reason,
  },
  ...{ disk_bytes: 0, data_bytes: 0, stored_bytes: 0 },
});
const gets = (versions: readonly HeadVersion[], lease: typeof MINE | null) =>
  getsVersions({ versions: [...versions], lease }, { holder: "node-a", now: NOW });

describe("getsVersions", () => {
  it("expects some where the workspace is open here and was published within a day", () => {
    assert.equal(gets([version(1)], MINE), true);
    assert.equal(gets([version(30), version(25)], MINE), false);
    assert.equal(gets([version(1)], { ...MINE, holder: "node-b" }), false);
  });

  it("expects none of a closed one that was used on one day alone, also not for its compaction", () => {
    assert.equal(gets([version(3), version(2), version(1)], null), false);
    assert.equal(gets([version(30), version(1, "compaction")], null), false);
    assert.equal(gets([], null), false);
  });

  it("expects some of a closed one that was used again", () => {
    assert.equal(gets([version(100), version(1)], null), true);
  });
});
