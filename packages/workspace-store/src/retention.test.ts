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
  it("keeps the newest ten, the last of each hour of a day, the last of each day of a month", () => {
    const all = versions(24 * 60);
    const kept = keptVersions(all, new Date(NOW));
    assert.deepEqual(kept.slice(-10), all.slice(-10));
    const agesHours = kept.map(({ created_at }) => (NOW - Date.parse(created_at)) / HOUR_MS);
    assert.ok(agesHours.every((age) => age <= 30 * 24));
    assert.equal(agesHours.filter((age) => age > 25).length, 29, "a version a day");
    const hours = new Set(agesHours.filter((age) => age <= 24).map(Math.floor));
    assert.ok(hours.size >= 24, String(hours.size));
    assert.ok(kept.length < 70, String(kept.length));
  });

  it("does not count compactions, and lets one go when there is a newer version", () => {
    const isCompaction = (seq: number) => seq > 5 && seq <= 60;
    const all = versions(1)
      .slice(0, 60)
      .map((version) => (isCompaction(version.seq) ? { ...version, reason: "compaction" as const } : version));
    const kept = (now: readonly HeadVersion[]) => keptVersions(now, new Date(NOW)).map(({ seq }) => seq);
    assert.deepEqual(kept(all), [1, 2, 3, 4, 5, 60]);
    const newer = { ...(all[0] as HeadVersion), seq: 61, created_at: new Date(NOW).toISOString() };
    assert.deepEqual(kept([...all, newer]), [1, 2, 3, 4, 5, 61]);
  });

  it("keeps the same when it is asked again, and lets none go that are few", () => {
    const kept = keptVersions(versions(100), new Date(NOW));
    assert.deepEqual(keptVersions(kept, new Date(NOW)), kept);
    const few = versions(1).slice(0, 5);
    assert.deepEqual(keptVersions(few, new Date(NOW + 365 * 24 * HOUR_MS)), few);
  });
});
