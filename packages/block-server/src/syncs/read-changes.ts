/** Reads what a version is made of out of a disk that QEMU exports: what changed, or all there is. */

import { AppError, withDeadline } from "@mags/core";
import { ALLOCATION, ALLOCATION_CONTEXT, allExtents, connectNbd, DIRTY, type NbdClient, NbdError } from "@mags/nbd";
import { CHUNK_BYTES } from "@mags/workspace-store";
import type { DiskSource } from "../calls.ts";

/** A run of chunks. `bytes` is missing where all of it is zeros. */
export interface ChangedRun {
  readonly firstChunk: number;
  readonly chunkCount: number;
  readonly bytes?: Buffer;
}

const READ_BYTES = 1 << 20;
/** Reads that are under way: the next are asked for while one is worked on. */
const READS = 4;
/** A QEMU that shows nothing for so long is not waited for. */
const STALL_MS = 60_000;

/** Whole chunks; bytes. */
export interface ChangedExtent {
  readonly offset: number;
  readonly length: number;
  /** Zeros, which need not be read. */
  readonly zero: boolean;
}

export interface ReadOptions {
  readonly diskBytes: number;
  readonly onFound?: (found: readonly ChangedExtent[]) => void;
  /** Resolves when so many bytes more may be read. */
  readonly pace?: (bytes: number) => Promise<void>;
  readonly stallMs?: number;
  readonly signal: AbortSignal;
}

/**
 * Runs in ascending order, at most 1 MiB each.
 * @param options.onFound  Told once, before the first of them, what there is to come.
 * @param options.pace     Default: as fast as can be.
 * @throws AppError `unavailable` when QEMU goes away, stalls or has lost what it shows; NbdError when it cannot read.
 */
export async function* readChanges(source: DiskSource, options: ReadOptions): AsyncGenerator<ChangedRun, void, void> {
  try {
    yield* runsOf(source, options);
  } catch (error) {
    throw error instanceof NbdError && error.errno === "EINVAL" ? lostView(error) : error;
  }
}

/** QEMU forbids reading a view that it had to give up (EACCES), for which NBD has no number of its own. */
const lostView = (cause: NbdError) =>
  new AppError(
    "unavailable",
    "what the guest overwrote while its disk was being synced could not be kept aside: it is tried again",
    { cause },
  );

async function* runsOf(
  source: DiskSource,
  { diskBytes, signal, onFound, pace, stallMs = STALL_MS }: ReadOptions,
): AsyncGenerator<ChangedRun, void, void> {
  const bitmap = source.bitmap === null ? null : `qemu:dirty-bitmap:${source.bitmap}`;
  const contexts = [ALLOCATION_CONTEXT, ...(bitmap === null ? [] : [bitmap])];
  const inTime = <T>(work: Promise<T>) => withDeadline(work, stallMs, () => stalled(stallMs));
  const patience = AbortSignal.timeout(stallMs);
  const connecting = { exportName: source.exportName, contexts, signal: AbortSignal.any([signal, patience]) };
  await using client = await connectNbd(source.socket, connecting).catch((error: unknown) => {
    throw patience.aborted && !signal.aborted ? stalled(stallMs) : error;
  });
  if (client.sizeBytes !== diskBytes)
    throw new AppError("internal", `QEMU shows a disk of ${client.sizeBytes} bytes in place of ${diskBytes}`);
  const wanted = bitmap === null ? [{ offset: 0, length: client.sizeBytes }] : dirty(client, bitmap, signal);
  const found: ChangedExtent[] = [];
  for await (const piece of whileMoving(pieces(client, wanted, signal), inTime)) found.push(piece);
  onFound?.(found);
  const ahead: { readonly piece: ChangedExtent; readonly bytes: Promise<Buffer> | undefined }[] = [];
  for (const piece of found) {
    if (!piece.zero) await pace?.(piece.length);
    const bytes = piece.zero ? undefined : client.read(piece.offset, piece.length, { signal });
    bytes?.catch(() => {}); // it is awaited below, in its turn
    ahead.push({ piece, bytes });
    if (ahead.length >= READS) yield await inTime(runOf(ahead.shift()));
  }
  while (ahead.length > 0) yield await inTime(runOf(ahead.shift()));
  await client.disconnect();
}

const stalled = (stallMs: number) =>
  new AppError("unavailable", `QEMU has shown nothing more of the disk for ${stallMs / 1000} s: the sync was given up`);

/** As `steps`, each of which has to come in time. */
async function* whileMoving<T>(
  steps: AsyncGenerator<T, void, void>,
  inTime: <R>(work: Promise<R>) => Promise<R>,
): AsyncGenerator<T, void, void> {
  for (;;) {
    const step = await inTime(steps.next());
    if (step.done) return;
    yield step.value;
  }
}

async function runOf(
  next: { readonly piece: ChangedExtent; readonly bytes: Promise<Buffer> | undefined } | undefined,
): Promise<ChangedRun> {
  if (!next) throw new Error("nothing is being read");
  const { offset, length } = next.piece;
  const run = { firstChunk: offset / CHUNK_BYTES, chunkCount: length / CHUNK_BYTES };
  return next.bytes ? { ...run, bytes: await next.bytes } : run;
}

interface Range {
  readonly offset: number;
  readonly length: number;
}

async function* dirty(client: NbdClient, context: string, signal: AbortSignal): AsyncGenerator<Range, void, void> {
  for await (const extent of allExtents(client, { context, signal })) if ((extent.flags & DIRTY) !== 0) yield extent;
}

/** Whole chunks, cut where zeros begin and end, and to what is read at a time. */
async function* pieces(
  client: NbdClient,
  ranges: AsyncIterable<Range> | Iterable<Range>,
  signal: AbortSignal,
): AsyncGenerator<ChangedExtent, void, void> {
  let done = 0;
  for await (const range of ranges) {
    const end = Math.ceil((range.offset + range.length) / CHUNK_BYTES) * CHUNK_BYTES;
    for (let at = Math.max(Math.floor(range.offset / CHUNK_BYTES) * CHUNK_BYTES, done); at < end; ) {
      for (const extent of await client.blockStatus(at, end - at, { context: ALLOCATION_CONTEXT, signal })) {
        const zero = (extent.flags & ALLOCATION.zero) !== 0;
        const until = Math.min(extent.offset + extent.length, end);
        // A chunk that is zeros only in part is read.
        const whole = zero
          ? Math.floor(until / CHUNK_BYTES) * CHUNK_BYTES
          : Math.ceil(until / CHUNK_BYTES) * CHUNK_BYTES;
        if (whole > at) {
          yield* cut({ offset: at, length: whole - at, zero });
          at = whole;
        } else if (until > at) {
          yield { offset: at, length: CHUNK_BYTES, zero: false };
          at += CHUNK_BYTES;
        }
      }
    }
    done = Math.max(done, end);
  }
}

function* cut({ offset, length, zero }: ChangedExtent): Generator<ChangedExtent, void, void> {
  if (zero) {
    yield { offset, length, zero };
    return;
  }
  for (let at = offset; at < offset + length; at += READ_BYTES)
    yield { offset: at, length: Math.min(READ_BYTES, offset + length - at), zero };
}
