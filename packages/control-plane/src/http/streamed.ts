import { once } from "node:events";
import type { ServerResponse } from "node:http";

/** A reply that is sent piece by piece, at the pace of its reader. */
export class Streamed {
  readonly contentType: string;
  readonly pieces: AsyncIterable<string>;

  constructor(contentType: string, pieces: AsyncIterable<string>) {
    this.contentType = contentType;
    this.pieces = pieces;
  }
}

/**
 * Sends the head at once and each piece as it comes; takes no piece while the reader is behind.
 * Rejects when a piece cannot be had, or with the signal's reason; the connection is cut then, so that the reader can
 * tell the end of the reply from its loss.
 */
export async function sendStream(
  raw: ServerResponse,
  pieces: AsyncIterable<string>,
  { signal }: { readonly signal: AbortSignal },
): Promise<void> {
  raw.flushHeaders();
  try {
    for await (const piece of pieces) {
      signal.throwIfAborted();
      if (!raw.write(piece)) await once(raw, "drain", { signal });
    }
    raw.end();
  } catch (error) {
    raw.destroy();
    throw error;
  }
}

/** Joins small texts to pieces of about `size` characters, without waiting for more than one batch. */
export function* inPieces(texts: Iterable<string>, size = 64 * 1024): Generator<string> {
  let piece = "";
  for (const text of texts) {
    piece += text;
    if (piece.length >= size) {
      yield piece;
      piece = "";
    }
  }
  if (piece !== "") yield piece;
}
