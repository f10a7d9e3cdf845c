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
 * number. The newest always stays.
 */
export function keptVersions(versions: readonly HeadVersion[], now: Date): readonly HeadVersion[] {
  const kept = new Set(versions.slice(-NEWEST));
  for (const { everyMs, forMs } of STEPS) {
    const lasts = new Map<number, HeadVersion>();
    for (const version of versions) {
      const atMs = Date.parse(version.created_at);
      if (now.getTime() - atMs < forMs) lasts.set(Math.floor(atMs / everyMs), version);
    }
    for (const version of lasts.values()) kept.add(version);
  }
  return versions.filter((version) => kept.has(version));
}
