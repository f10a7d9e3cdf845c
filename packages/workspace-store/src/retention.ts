/** Which versions of a workspace stay. */
import type { HeadVersion } from "./format/head.ts";

const HOUR_MS = 3_600_000;
/** The newest ones. */
const NEWEST = 10;
/** The last of each hour, of so many hours; the last of each day. */
const STEPS = [
  { everyMs: HOUR_MS, most: 24 },
  { everyMs: 24 * HOUR_MS, most: 30 },
];

/**
 * The newest ten; of the newest 24 hours in which there are versions the last of each, and of 30 days likewise: some 64
 * of any number. Hours and days are counted, no ages: a wall clock that jumps lets go no more than one that goes on.
 * Compactions are not counted, as each has the contents of a version that is. The newest of all always stays.
 */
export function keptVersions(versions: readonly HeadVersion[]): readonly HeadVersion[] {
  const counted = versions.filter(({ reason }) => reason !== "compaction");
  const kept = new Set([...counted.slice(-NEWEST), ...versions.slice(-1)]);
  for (const { everyMs, most } of STEPS) {
    const hadOne = new Set<number>();
    for (const version of counted.toReversed()) {
      if (hadOne.size === most) break;
      const period = Math.floor(Date.parse(version.created_at) / everyMs);
      if (!hadOne.has(period)) kept.add(version);
      hadOne.add(period);
    }
  }
  return versions.filter((version) => kept.has(version));
}
