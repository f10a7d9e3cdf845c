/**
 * A version as an NBD export. While the store cannot be reached a read waits, some seconds here, then in QEMU, which stops
 * its guest and asks again: a request that is under way for long would keep QEMU from whatever it is told. It fails for
 * what is proven to be damaged or lost.
 */
import type { NbdExport, NbdPiece } from "@mags/nbd";
import { CHUNK_BYTES, type RecordRef, SEGMENT_CHUNKS, type VersionReader } from "@mags/workspace-store";
import type { CachedRecords } from "../cache/cached-records.ts";
import { isDamage } from "./damages.ts";
import { patiently } from "./patiently.ts";
import { createReadAhead } from "./read-ahead.ts";
import { zeroExtents } from "./zero-extents.ts";

type Signal = { readonly signal: AbortSignal };
/** Chunks of the disk. */
export interface Place {
  readonly first: number;
  readonly end: number;
}

export interface VersionExportDeps {
  readonly records: CachedRecords;
  /** Told of each read. */
  readonly onRead?: ((place: Place) => void) | undefined;
  /** Told of each read that meets damage, by chunks. */
  readonly onDamage: (place: Place, error: unknown) => void;
  /** A read is tried for so long. Default: 3 s. */
  readonly patienceMs?: number;
}

const PATIENCE_MS = 3_000;
const READ_AHEAD_MS = 30_000;

export function versionExport(
  version: VersionReader,
  { records, onRead, onDamage, patienceMs = PATIENCE_MS }: VersionExportDeps,
): NbdExport {
  const ahead = createReadAhead({ chunkCount: version.chunkCount });

  async function tellingDamage<T>(place: Place, work: (options: Signal) => Promise<T>, { signal }: Signal): Promise<T> {
    try {
      return await patiently(work, { patienceMs, signal });
    } catch (error) {
      if (isDamage(error)) onDamage(place, error);
      throw error;
    }
  }

  async function refsOf({ first, end }: Place, options: Signal): Promise<(RecordRef | undefined)[]> {
    const refs: (RecordRef | undefined)[] = [];
    for (let index = first; index < end; index++) refs.push(await version.chunk(index, options));
    return refs;
  }

  /** Nobody waits for it. */
  async function readAhead(place: Place): Promise<void> {
    const refs = await refsOf(place, { signal: AbortSignal.timeout(READ_AHEAD_MS) });
    records.prefetch(refs.filter((ref) => ref !== undefined));
  }

  return {
    sizeBytes: version.manifest.diskBytes,
    async read(offset, length, options) {
      const first = Math.floor(offset / CHUNK_BYTES);
      const end = Math.ceil((offset + length) / CHUNK_BYTES);
      onRead?.({ first, end });
      const following = ahead.onRead(first, end);
      if (following) readAhead(following).catch(() => {}); // who needs it asks again
      const place = { first, end };
      const read = async (attempt: Signal) => {
        const refs = await refsOf(place, attempt);
        const wanted = refs.filter((ref) => ref !== undefined);
        return { refs, plains: wanted.length > 0 ? await records.getAll(wanted, attempt) : [] };
      };
      const { refs, plains } = await tellingDamage(place, read, options);
      const pieces: NbdPiece[] = [];
      let next = 0;
      for (const [i, ref] of refs.entries()) {
        const at = (first + i) * CHUNK_BYTES;
        const from = Math.max(offset - at, 0);
        const to = Math.min(offset + length - at, CHUNK_BYTES);
        const plain = ref && plains[next++];
        pieces.push(plain ? plain.subarray(from, to) : { zeroBytes: to - from });
      }
      return pieces;
    },
    extents: (offset, length, options) => {
      const tableOf = (segment: number) => {
        if (!version.manifest.tables.has(segment)) return undefined;
        const first = segment * SEGMENT_CHUNKS;
        const place = { first, end: Math.min(first + SEGMENT_CHUNKS, version.chunkCount) };
        return tellingDamage(place, (attempt) => version.table(segment, attempt), options);
      };
      return zeroExtents(tableOf, { offset, length }, { ...options, patienceMs });
    },
  };
}
