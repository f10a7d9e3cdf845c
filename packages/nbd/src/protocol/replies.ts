/** Replies of the transmission phase: simple ones, and chunks of structured ones. */
import { ProtocolFault } from "./fault.ts";
import { CHUNK_DONE, SIMPLE_REPLY_MAGIC, STRUCTURED_REPLY_MAGIC } from "./values.ts";

/** What either kind begins with. */
export const REPLY_START_BYTES = 16;
/** What a chunk has beyond that: the length of its payload. */
export const CHUNK_LENGTH_BYTES = 4;

export type ReplyStart =
  | { readonly kind: "simple"; readonly cookie: bigint; readonly error: number }
  | { readonly kind: "chunk"; readonly cookie: bigint; readonly done: boolean; readonly type: number };

export function decodeReplyStart(bytes: Buffer): ReplyStart {
  const cookie = bytes.readBigUInt64BE(8);
  switch (bytes.readUInt32BE(0)) {
    case SIMPLE_REPLY_MAGIC:
      return { kind: "simple", cookie, error: bytes.readUInt32BE(4) };
    case STRUCTURED_REPLY_MAGIC:
      return { kind: "chunk", cookie, done: (bytes.readUInt16BE(4) & CHUNK_DONE) !== 0, type: bytes.readUInt16BE(6) };
    default:
      throw new ProtocolFault("a reply without its magic number");
  }
}

export function encodeSimpleReply(cookie: bigint, error: number): Buffer {
  const bytes = Buffer.alloc(REPLY_START_BYTES);
  bytes.writeUInt32BE(SIMPLE_REPLY_MAGIC, 0);
  bytes.writeUInt32BE(error, 4);
  bytes.writeBigUInt64BE(cookie, 8);
  return bytes;
}

/** What stands in front of a chunk's payload. */
export function encodeChunkHeader(
  cookie: bigint,
  chunk: { readonly type: number; readonly payloadBytes: number; readonly done: boolean },
): Buffer {
  const bytes = Buffer.alloc(REPLY_START_BYTES + CHUNK_LENGTH_BYTES);
  bytes.writeUInt32BE(STRUCTURED_REPLY_MAGIC, 0);
  bytes.writeUInt16BE(chunk.done ? CHUNK_DONE : 0, 4);
  bytes.writeUInt16BE(chunk.type, 6);
  bytes.writeBigUInt64BE(cookie, 8);
  bytes.writeUInt32BE(chunk.payloadBytes, 16);
  return bytes;
}
