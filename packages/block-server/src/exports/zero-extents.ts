import { createTurns } from "@mags/core";
import type { NbdZeroExtent } from "@mags/nbd";
import { CHUNK_BYTES, SEGMENT_CHUNKS } from "@mags/workspace-store";

export interface ZeroExtentsOptions {
  /** The walk ends with these. */
  readonly mostExtents: number;
  /** What is known after so long is told: who asked goes on from there. */
  readonly patienceMs: number;
  readonly signal: AbortSignal;
}

const SEGMENT_BYTES = SEGMENT_CHUNKS * CHUNK_BYTES;
/** Between two turns: so many chunks are looked at within a fraction of a millisecond. */
const SEGMENTS_A_TURN = 4;

/**
 * What is zero of a range of a version, from its beginning on; neighbours differ. It gives way to the rest of the process,
 * reads no more than it tells of, and tells what it knows when it cannot go on.
 * @param tableOf  Stored chunks of a segment, by their place in it; undefined: none.
 * @throws as `tableOf`, when nothing is known.
 */
export async function zeroExtents(
  tableOf: (segment: number) => Promise<ReadonlyMap<number, unknown>> | undefined,
  { offset, length }: { readonly offset: number; readonly length: number },
  { mostExtents, patienceMs, signal }: ZeroExtentsOptions,
): Promise<readonly NbdZeroExtent[]> {
  const turn = createTurns({ steps: SEGMENTS_A_TURN });
  const found: { length: number; readonly zero: boolean }[] = [];
  /** @returns whether more may follow. */
  const add = (bytes: number, zero: boolean): boolean => {
    const last = found.at(-1);
    if (last?.zero === zero) last.length += bytes;
    else if (found.length === mostExtents) return false;
    else found.push({ length: bytes, zero });
    return true;
  };
  const begunMs = performance.now();
  const end = offset + length;
  for (let at = offset; at < end; ) {
    await turn({ signal });
    if (found.length > 0 && performance.now() - begunMs > patienceMs) return found;
    const segment = Math.floor(at / SEGMENT_BYTES);
    const segmentEnd = Math.min((segment + 1) * SEGMENT_BYTES, end);
    let table: ReadonlyMap<number, unknown> | undefined;
    try {
      table = await tableOf(segment);
    } catch (error) {
      signal.throwIfAborted();
      if (found.length > 0) return found;
      throw error;
    }
    while (at < segmentEnd) {
      const index = Math.floor(at / CHUNK_BYTES);
      const until = table ? Math.min((index + 1) * CHUNK_BYTES, segmentEnd) : segmentEnd;
      if (!add(until - at, !table?.has(index % SEGMENT_CHUNKS))) return found;
      at = until;
    }
  }
  return found;
}
