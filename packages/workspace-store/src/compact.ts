/** Compaction: a version with the contents of one before, in which little-used packs are not used any more. */
import type { Manifest } from "./format/manifest.ts";
import { SEGMENT_CHUNKS } from "./format/records.ts";
import type { Table } from "./format/table.ts";
import type { VersionName } from "./keys.ts";
import type { VersionReader } from "./version-reader.ts";
import type { VersionWriter } from "./version-writer.ts";

export interface CompactionRule {
  /** A pack of which a smaller part is used is given up. */
  readonly usedPart: number;
  /** At most so many stored bytes are moved at a time; the worst packs come first. */
  readonly maxBytes: number;
  /** Nothing is given up unless at least so many bytes are freed, in time. Default: 0. */
  readonly leastFreedBytes?: number;
  /** Packs that others use, too: giving them up would free nothing. Default: none. */
  readonly shared?: ReadonlySet<string>;
}

/** Which packs of a version are worth giving up; none, when what would be gained is not. */
export function planCompaction(
  manifest: Manifest,
  { usedPart, maxBytes, leastFreedBytes = 0, shared = new Set() }: CompactionRule,
): ReadonlySet<string> {
  const poor = [...manifest.packs]
    .map(([id, { sizeBytes, storedBytes }]) => ({ id, sizeBytes, storedBytes, part: storedBytes / sizeBytes }))
    .filter(({ id, part }) => part < usedPart && !shared.has(id))
    .toSorted((a, b) => a.part - b.part);
  const chosen = new Set<string>();
  let bytes = 0;
  let freedBytes = 0;
  for (const { id, sizeBytes, storedBytes } of poor) {
    if (bytes + storedBytes > maxBytes) break;
    bytes += storedBytes;
    freedBytes += sizeBytes - storedBytes;
    chosen.add(id);
  }
  return freedBytes < leastFreedBytes ? new Set() : chosen;
}

/**
 * Whether `manifest` is a compaction of `version`, or of what that is a compaction of: both have the same contents then.
 * Of the versions between a compaction and its parent nothing is needed to know that they are compactions, too.
 */
export function isCompactionOf({ reason, parent, seq }: Manifest, version: VersionName): boolean {
  if (reason !== "compaction" || parent === null) return false;
  return parent.sha256 === version.sha256 || (parent.seq < version.seq && version.seq < seq);
}

/** Has `writer`, whose parent is `version`, use none of `packs`. It publishes nothing itself. */
export async function moveOutOf(
  packs: ReadonlySet<string>,
  {
    version,
    writer,
    signal,
  }: { readonly version: VersionReader; readonly writer: VersionWriter; readonly signal: AbortSignal },
): Promise<void> {
  const segments = [...version.manifest.tables.keys()].toSorted((a, b) => a - b);
  for (const segment of segments) {
    const lies = version.manifest.tables.get(segment)?.pack;
    if (lies !== undefined && packs.has(lies)) await writer.moveTable(segment);
    for (const place of placesIn(await version.table(segment, { signal }), packs))
      await writer.move(segment * SEGMENT_CHUNKS + place);
  }
}

function placesIn(table: Table, packs: ReadonlySet<string>): number[] {
  return [...table].filter(([, { pack }]) => packs.has(pack)).map(([place]) => place);
}
