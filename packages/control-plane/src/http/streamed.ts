import { once } from "node:events";
import type { ServerResponse } from "node:http";

export interface StreamedHead {
  /** Default 200. */
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string | number>>;
}

/** A reply that is sent piece by piece, at the pace of its reader. */
export class Streamed {
  readonly contentType: string;
  readonly pieces: AsyncIterable<string | Uint8Array>;
  readonly head: StreamedHead;

  constructor(contentType: string, pieces: AsyncIterable<string | Uint8Array>, head: StreamedHead = {}) {
    this.contentType = contentType;
    this.pieces = pieces;
    this.head = head;
  }
}

/**
 * Sends the head at once and each piece as it comes; takes no piece while the reader is behind.
 * Rejects when a piece cannot be had, or with the signal's reason; the connection is cut then, so that the reader can
 * tell the end of the reply from its loss.
 */
export async function sendStream(
  raw: ServerResponse,
  pieces: Streamed["pieces"],
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
