/**
 * A version as an NBD export. While the store cannot be reached a read waits, some seconds here, then in QEMU, which stops
 * its guest and asks again: a request that is under way for long would keep QEMU from whatever it is told. It fails for
 * what is proven to be damaged or lost.
 */
import { type Logger, messageOf, sleep } from "@mags/core";
import { type NbdExport, type NbdPiece, NotNow } from "@mags/nbd";
import { CHUNK_BYTES, type RecordRef, SEGMENT_CHUNKS, type VersionReader } from "@mags/workspace-store";
import type { CachedRecords } from "../cache/cached-records.ts";
import { isDamage } from "./damages.ts";
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
  readonly log: Logger;
}

const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 1_000;
const PATIENCE_MS = 3_000;
const READ_AHEAD_MS = 30_000;

export function versionExport(
  version: VersionReader,
  { records, onRead, onDamage, log }: VersionExportDeps,
): NbdExport {
  const ahead = createReadAhead({ chunkCount: version.chunkCount });

  /** Until it succeeds, or what is asked for is known to be no more, or it takes too long. */
  async function persistently<T>(place: Place, work: () => Promise<T>, { signal }: Signal): Promise<T> {
    const begunMs = performance.now();
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)) {
      try {
        return await work();
      } catch (error) {
        signal.throwIfAborted();
        if (isDamage(error)) {
          onDamage(place, error);
          throw error;
        }
        log.warn("blocks.store_away", { workspace: version.manifest.workspace, error: messageOf(error) });
        if (performance.now() - begunMs > PATIENCE_MS) throw new NotNow("the object store is away", { cause: error });
        await sleep(pauseMs, { signal });
      }
    }
  }

  const chunkAt = (index: number, options: Signal) =>
    persistently({ first: index, end: index + 1 }, () => version.chunk(index, options), options);

  async function refsOf(first: number, end: number, options: Signal): Promise<(RecordRef | undefined)[]> {
    const refs: (RecordRef | undefined)[] = [];
    for (let index = first; index < end; index++) refs.push(await chunkAt(index, options));
    return refs;
  }

  /** Nobody waits for it. */
  async function readAhead({ first, end }: Place): Promise<void> {
    const refs = await refsOf(first, end, { signal: AbortSignal.timeout(READ_AHEAD_MS) });
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
      const refs = await refsOf(first, end, options);
      const wanted = refs.filter((ref) => ref !== undefined);
      const plains =
        wanted.length > 0 ? await persistently({ first, end }, () => records.getAll(wanted, options), options) : [];
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
        return persistently(place, () => version.table(segment, options), options);
      };
      return zeroExtents(tableOf, { offset, length }, options);
    },
  };
}
