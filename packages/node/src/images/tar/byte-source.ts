/** Bytes that can be read at any place: a file, or a part of one. */
import type { FileHandle } from "node:fs/promises";

export interface ByteSource {
  readonly length: number;
  /** Exactly the bytes from `offset` on, `length` of them, or fewer at the end of the source. */
  read(offset: number, length: number): Promise<Buffer>;
}

/** @param range.signal  Ends whatever reads from it. */
export function fileSource(
  file: FileHandle,
  range: { readonly offset: number; readonly length: number; readonly signal?: AbortSignal },
): ByteSource {
  return {
    length: range.length,
    async read(offset, length) {
      const buffer = Buffer.allocUnsafe(Math.max(0, Math.min(length, range.length - offset)));
      let filled = 0;
      while (filled < buffer.length) {
        range.signal?.throwIfAborted();
        const { bytesRead } = await file.read(buffer, filled, buffer.length - filled, range.offset + offset + filled);
        if (bytesRead === 0) break;
        filled += bytesRead;
      }
      return buffer.subarray(0, filled);
    },
  };
}

export function partOf(source: ByteSource, range: { readonly offset: number; readonly length: number }): ByteSource {
  const length = Math.max(0, Math.min(range.length, source.length - range.offset));
  return {
    length,
    read: (offset, wanted) => source.read(range.offset + offset, Math.max(0, Math.min(wanted, length - offset))),
  };
}

const PIECE_BYTES = 1024 * 1024;

/** The bytes of a source in order. */
export async function* bytesOf(source: ByteSource): AsyncGenerator<Buffer> {
  for (let offset = 0; offset < source.length; ) {
    const piece = await source.read(offset, PIECE_BYTES);
    if (piece.length === 0) return;
    yield piece;
    offset += piece.length;
  }
}

/** Small reads in rising order, served from one larger read. */
export function readAhead(source: ByteSource, aheadBytes: number): ByteSource["read"] {
  let start = 0;
  let buffer: Buffer = Buffer.alloc(0);
  return async (offset, length) => {
    if (offset < start || offset + length > start + buffer.length) {
      start = offset;
      buffer = await source.read(offset, Math.max(length, aheadBytes));
    }
    return buffer.subarray(offset - start, offset - start + length);
  };
}
