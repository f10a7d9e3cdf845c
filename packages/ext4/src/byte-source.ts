/** Where the bytes of a file system come from, and a cache before it. */
import { createTurns } from "@mags/core";
import { damaged } from "./damaged.ts";

type Signal = { readonly signal: AbortSignal };

/** Bytes by offset. They never change while somebody reads. */
export interface ByteSource {
  readonly sizeBytes: number;
  /** Exactly `length` bytes, all of them before `sizeBytes`. The caller does not write into them. May run concurrently. */
  read(offset: number, length: number, options: Signal): Promise<Buffer>;
}

const KEPT_BYTES = 32 << 20;
/** What is read is up to a block, 64 KiB: all of its entries are looked at before the next read. */
const READS_A_TURN = 16;

/**
 * Keeps what was read last, at most 32 MiB. Reads past the end are refused as damage: only the file system asks for them.
 * A file system that leads to the same blocks again and again reads them out of memory: others get their turns all the
 * same, and the signal is looked at with each read.
 * @param options.unitBytes  What is read at once, a power of two: neighbours are mostly wanted next.
 */
export function createCachedSource(source: ByteSource, { unitBytes }: { readonly unitBytes: number }): ByteSource {
  const { sizeBytes } = source;
  const units = new Map<number, Buffer>();
  const turn = createTurns({ steps: READS_A_TURN });

  async function unit(index: number, options: Signal): Promise<Buffer> {
    const kept = units.get(index);
    const start = index * unitBytes;
    const bytes = kept ?? (await source.read(start, Math.min(unitBytes, sizeBytes - start), options));
    units.delete(index);
    units.set(index, bytes);
    for (const [oldest] of units) {
      if (units.size * unitBytes <= KEPT_BYTES) break;
      units.delete(oldest);
    }
    return bytes;
  }

  return {
    sizeBytes,
    async read(offset, length, options) {
      await turn(options);
      if (!(offset >= 0 && length >= 0 && offset + length <= sizeBytes))
        throw damaged(`something is said to lie at byte ${offset}, past the end of the disk`);
      const pieces: Buffer[] = [];
      for (let at = offset; at < offset + length; ) {
        const index = Math.floor(at / unitBytes);
        const from = at - index * unitBytes;
        const bytes = await unit(index, options);
        const piece = bytes.subarray(from, from + offset + length - at);
        pieces.push(piece);
        at += piece.length;
      }
      const [only] = pieces;
      return only && pieces.length === 1 ? only : Buffer.concat(pieces);
    },
  };
}
