/** Replies to requests, as buffers to send. */
import { u16, u32, u64 } from "../protocol/options.ts";
import { encodeChunkHeader, encodeSimpleReply } from "../protocol/replies.ts";
import { ALLOCATION, CHUNK, ERRNO, type NbdErrno } from "../protocol/values.ts";
import type { NbdPiece, NbdZeroExtent } from "./export.ts";
import { ALLOCATION_ID } from "./meta-context.ts";

/** Length and flags of an extent. */
const DESCRIPTOR_BYTES = 8;

const isData = (piece: NbdPiece): piece is Buffer => Buffer.isBuffer(piece);
const lengthOf = (piece: NbdPiece): number => (isData(piece) ? piece.length : piece.zeroBytes);

/** Neighbours of one kind. */
interface Run {
  /** Null: zeros. */
  readonly data: readonly Buffer[] | null;
  readonly length: number;
}

function runsOf(pieces: readonly NbdPiece[]): Run[] {
  const runs: Run[] = [];
  for (const piece of pieces) {
    if (lengthOf(piece) === 0) continue;
    const last = runs.at(-1);
    const joins = last !== undefined && (last.data !== null) === isData(piece);
    const before = joins ? last : { data: isData(piece) ? [] : null, length: 0 };
    if (joins) runs.pop();
    const data = before.data && isData(piece) ? [...before.data, piece] : before.data;
    runs.push({ data, length: before.length + lengthOf(piece) });
  }
  return runs;
}

/** @throws Error when pieces are not what was asked for. */
export function checkPieces(answer: Buffer | readonly NbdPiece[], length: number): readonly NbdPiece[] {
  const pieces = isData(answer as NbdPiece) ? [answer as Buffer] : (answer as readonly NbdPiece[]);
  let sum = 0;
  for (const piece of pieces) {
    const own = lengthOf(piece);
    if (!Number.isSafeInteger(own) || own < 0) throw new Error(`the export gave a piece of ${own} bytes`);
    sum += own;
  }
  if (sum !== length) throw new Error(`the export gave ${sum} bytes for ${length}`);
  return pieces;
}

/** A read without structured replies. */
export function simpleRead(cookie: bigint, pieces: readonly NbdPiece[]): Buffer[] {
  return [
    encodeSimpleReply(cookie, 0),
    ...pieces.map((piece) => (isData(piece) ? piece : Buffer.alloc(piece.zeroBytes))),
  ];
}

/** @param options.fragments  False: one chunk, with its zeros. */
export function structuredRead(
  cookie: bigint,
  read: { readonly offset: number; readonly pieces: readonly NbdPiece[] },
  options: { readonly fragments: boolean },
): Buffer[] {
  const whole = () => read.pieces.map((piece) => (isData(piece) ? piece : Buffer.alloc(piece.zeroBytes)));
  const runs = runsOf(options.fragments ? read.pieces : whole());
  let at = read.offset;
  return runs.flatMap((run, index) => {
    const done = index === runs.length - 1;
    const offset = u64(at);
    at += run.length;
    return run.data
      ? [encodeChunkHeader(cookie, { type: CHUNK.offsetData, payloadBytes: 8 + run.length, done }), offset, ...run.data]
      : [encodeChunkHeader(cookie, { type: CHUNK.offsetHole, payloadBytes: 12, done }), offset, u32(run.length)];
  });
}

/** @throws Error when the extents make no sense. */
export function blockStatus(
  cookie: bigint,
  extents: readonly NbdZeroExtent[],
  request: { readonly length: number; readonly mostExtents: number },
): Buffer[] {
  const merged: { length: number; readonly zero: boolean }[] = [];
  let told = 0;
  for (const { length, zero } of extents) {
    if (!Number.isSafeInteger(length) || length <= 0)
      throw new Error(`the export told of an extent of ${length} bytes`);
    if (told === request.length) break;
    const clipped = Math.min(length, request.length - told);
    const last = merged.at(-1);
    if (last?.zero === zero) last.length += clipped;
    else if (merged.length === request.mostExtents) break;
    else merged.push({ length: clipped, zero });
    told += clipped;
  }
  if (merged.length === 0) throw new Error("the export told of no extent");
  const payload = Buffer.alloc(4 + DESCRIPTOR_BYTES * merged.length);
  payload.writeUInt32BE(ALLOCATION_ID);
  for (const [i, { length, zero }] of merged.entries()) {
    payload.writeUInt32BE(length, 4 + i * DESCRIPTOR_BYTES);
    payload.writeUInt32BE(zero ? ALLOCATION.hole | ALLOCATION.zero : 0, 8 + i * DESCRIPTOR_BYTES);
  }
  return [encodeChunkHeader(cookie, { type: CHUNK.blockStatus, payloadBytes: payload.length, done: true }), payload];
}

/** @param options.structured  With the message; else the number alone. */
export function failure(
  cookie: bigint,
  error: { readonly errno: NbdErrno; readonly message: string },
  options: { readonly structured: boolean },
): Buffer[] {
  if (!options.structured) return [encodeSimpleReply(cookie, ERRNO[error.errno])];
  const message = Buffer.from(error.message);
  const payload = Buffer.concat([u32(ERRNO[error.errno]), u16(message.length), message]);
  return [encodeChunkHeader(cookie, { type: CHUNK.error, payloadBytes: payload.length, done: true }), payload];
}
