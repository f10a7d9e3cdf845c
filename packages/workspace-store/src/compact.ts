/** Compaction: a version with the contents of one before, in which little-used packs are not used any more. */
import type { Manifest } from "./format/manifest.ts";
import { type RecordRef, SEGMENT_CHUNKS } from "./format/records.ts";
import type { VersionName } from "./keys.ts";
import type { RecordSource } from "./record-source.ts";
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

/** Records that are read together: 4 MiB. */
const BATCH = 64;

interface Move {
  readonly index: number;
  /** Of a chunk; undefined: the table of the segment that begins there. */
  readonly ref: RecordRef | undefined;
}

/**
 * Has `writer`, whose parent is `version`, use none of `packs`. It publishes nothing itself.
 * @param options.records  Chunks are read from there.
 * @param options.mayGoOn  Asked before each piece of work.
 * @returns whether all was moved.
 */
export async function moveOutOf(
  packs: ReadonlySet<string>,
  options: {
    readonly version: VersionReader;
    readonly writer: VersionWriter;
    readonly records: RecordSource;
    readonly mayGoOn: () => boolean;
    readonly signal: AbortSignal;
  },
): Promise<boolean> {
  const { version, writer, records, mayGoOn, signal } = options;
  async function make(moves: readonly Move[]): Promise<void> {
    const refs = moves.flatMap(({ ref }) => ref ?? []);
    const plains = (await records.getAll(refs, { signal })).values();
    for (const { index, ref } of moves)
      if (ref)
        await writer.move(index, plains.next().value as Buffer); // one for each
      else await writer.moveTable(index / SEGMENT_CHUNKS);
  }

  let next: Move[] = [];
  const segments = [...version.manifest.tables.keys()].toSorted((a, b) => a - b);
  for (const segment of segments) {
    if (!mayGoOn()) return false;
    for (const move of await movesIn(segment, packs, { version, signal })) {
      next.push(move);
      if (next.length < BATCH) continue;
      await make(next);
      next = [];
      if (!mayGoOn()) return false;
    }
  }
  await make(next);
  return true;
}

/** In the order of the disk. */
async function movesIn(
  segment: number,
  packs: ReadonlySet<string>,
  { version, signal }: { readonly version: VersionReader; readonly signal: AbortSignal },
): Promise<Move[]> {
  const first = segment * SEGMENT_CHUNKS;
  const lies = version.manifest.tables.get(segment)?.pack;
  const chunks = [...(await version.table(segment, { signal }))]
    .filter(([, { pack }]) => packs.has(pack))
    .map(([place, ref]) => ({ index: first + place, ref }));
  return lies !== undefined && packs.has(lies) ? [{ index: first, ref: undefined }, ...chunks] : chunks;
}
