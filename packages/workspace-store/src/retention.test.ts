import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { HeadVersion } from "./format/head.ts";
import { keptVersions } from "./retention.ts";

const HOUR_MS = 3_600_000;
const NOW = Date.UTC(2026, 5, 15, 12, 30);

/** A version every half minute, for so many hours until now. */
function versions(hours: number): HeadVersion[] {
  const count = hours * 120;
  return Array.from({ length: count }, (_, i) => ({
    seq: i + 1,
    sha256: String(i).padStart(64, "0"),
    created_at: new Date(NOW - (count - i) * 30_000).toISOString(),
    ...{ reason: "interval", disk_bytes: 0, data_bytes: 0, stored_bytes: 0 },
  })) as HeadVersion[];
}

describe("keptVersions", () => {
  const all = versions(24 * 60);

  it("keeps the newest ten, the last of each of 24 hours, the last of each of 30 days", () => {
    const kept = keptVersions(all);
    assert.deepEqual(kept.slice(-10), all.slice(-10));
    const agesHours = kept.map(({ created_at }) => (NOW - Date.parse(created_at)) / HOUR_MS);
    assert.ok(agesHours.every((age) => age <= 30 * 24));
    assert.equal(agesHours.filter((age) => age > 25).length, 28, "a version a day");
    const times = kept.map(({ created_at }) => Date.parse(created_at)).filter((at) => NOW - at < 24 * HOUR_MS);
    assert.equal(new Set(times.map((at) => Math.floor(at / HOUR_MS))).size, 24);
    assert.ok(kept.length < 70, String(kept.length));
  });

  it("lets one of the hours and one of the days go, at most, when the clock jumps, whatever the way", () => {
    const before = keptVersions(all);
    assert.ok(before.length > 50, String(before.length));
    for (const days of [1, 400, -1, -400]) {
      let kept = before;
      for (let n = 0; n < 20; n++) {
        const created_at = new Date(NOW + days * 24 * HOUR_MS + n * 30_000).toISOString();
        kept = keptVersions([...kept, { ...(before[0] as HeadVersion), seq: 1_000_000 + n, created_at }]);
      }
      const left = new Set(kept.map(({ seq }) => seq));
      const lost = before.slice(0, -10).filter(({ seq }) => !left.has(seq));
      assert.ok(lost.length <= 2, `${days} days: ${lost.length}`);
    }
  });

  it("does not count compactions, and lets one go when there is a newer version", () => {
    const isCompaction = (seq: number) => seq > 5 && seq <= 60;
    const many = versions(1)
      .slice(0, 60)
      .map((version) => (isCompaction(version.seq) ? { ...version, reason: "compaction" as const } : version));
    const kept = (now: readonly HeadVersion[]) => keptVersions(now).map(({ seq }) => seq);
    assert.deepEqual(kept(many), [1, 2, 3, 4, 5, 60]);
    const newer = { ...(many[0] as HeadVersion), seq: 61, created_at: new Date(NOW).toISOString() };
    assert.deepEqual(kept([...many, newer]), [1, 2, 3, 4, 5, 61]);
  });

  it("keeps the same when it is asked again, and lets none go that are few", () => {
    const kept = keptVersions(versions(100));
    assert.deepEqual(keptVersions(kept), kept);
    const few = versions(1).slice(0, 5);
    assert.deepEqual(keptVersions(few), few);
  });
});
