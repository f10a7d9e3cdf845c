/** Which versions of a workspace stay. */
import type { HeadVersion } from "./format/head.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** The newest ones. */
const NEWEST = 10;
/** The last of each hour, for a day; the last of each day, for a month. */
const STEPS = [
  { everyMs: HOUR_MS, forMs: DAY_MS },
  { everyMs: DAY_MS, forMs: 30 * DAY_MS },
];

/**
 * The newest ten, the last of each hour of the past day, the last of each day of the past 30 days: some 64 of any
 * number. Compactions are not counted, as each has the contents of a version that is. The newest of all always stays.
 */
export function keptVersions(versions: readonly HeadVersion[], now: Date): readonly HeadVersion[] {
  const counted = versions.filter(({ reason }) => reason !== "compaction");
  const kept = new Set([...counted.slice(-NEWEST), ...versions.slice(-1)]);
  for (const { everyMs, forMs } of STEPS) {
    const lasts = new Map<number, HeadVersion>();
    for (const version of counted) {
      const atMs = Date.parse(version.created_at);
      if (now.getTime() - atMs < forMs) lasts.set(Math.floor(atMs / everyMs), version);
    }
    for (const version of lasts.values()) kept.add(version);
  }
  return versions.filter((version) => kept.has(version));
}
