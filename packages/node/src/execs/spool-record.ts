/** Records of a spool segment as bytes. Laid out in docs/formats/exec-spool.md. */
import { crc32 } from "node:zlib";

const MAGIC = Buffer.from("MAGSEXC1");
export const SEGMENT_HEADER_BYTES = 32;
export const RECORD_HEADER_BYTES = 32;
export const MAX_RECORD_BYTES = 65_536;

/** Where a segment begins in the output of its command. */
export interface SpoolPosition {
  /** Number of the guest's record. */
  readonly seq: number;
  /** Bytes before it, over all channels. */
  readonly offset: number;
}

export interface SpoolRecord extends SpoolPosition {
  readonly channel: number;
  readonly bytes: Buffer;
}

export function encodeSegmentHeader({ seq, offset }: SpoolPosition): Buffer {
  const header = Buffer.alloc(SEGMENT_HEADER_BYTES);
  MAGIC.copy(header);
  header.writeBigUInt64LE(BigInt(seq), 8);
  header.writeBigUInt64LE(BigInt(offset), 16);
  header.writeUInt32LE(crc32(header.subarray(0, 28)), 28);
  return header;
}

/** Undefined when it is none, or was not written whole. */
export function decodeSegmentHeader(header: Buffer): SpoolPosition | undefined {
  if (header.length < SEGMENT_HEADER_BYTES || !header.subarray(0, 8).equals(MAGIC)) return undefined;
  if (header.readUInt32LE(28) !== crc32(header.subarray(0, 28))) return undefined;
  return { seq: Number(header.readBigUInt64LE(8)), offset: Number(header.readBigUInt64LE(16)) };
}

export function encodeRecord({ channel, seq, offset, bytes }: SpoolRecord): readonly Buffer[] {
  const header = Buffer.alloc(RECORD_HEADER_BYTES);
  header.writeUInt32LE(bytes.length, 0);
  header.writeUInt8(channel, 4);
  header.writeBigUInt64LE(BigInt(seq), 8);
  header.writeBigUInt64LE(BigInt(offset), 16);
  header.writeUInt32LE(crc32(bytes, crc32(header.subarray(0, 28))), 28);
  return [header, bytes];
}

/** The record at `at`; `short`: it goes on beyond these bytes; `broken`: it is none. Its bytes are a part of `buffer`. */
export function decodeRecord(buffer: Buffer, at: number): SpoolRecord | "short" | "broken" {
  if (buffer.length - at < RECORD_HEADER_BYTES) return "short";
  const length = buffer.readUInt32LE(at);
  if (length > MAX_RECORD_BYTES) return "broken";
  const end = at + RECORD_HEADER_BYTES + length;
  if (end > buffer.length) return "short";
  const bytes = buffer.subarray(at + RECORD_HEADER_BYTES, end);
  if (buffer.readUInt32LE(at + 28) !== crc32(bytes, crc32(buffer.subarray(at, at + 28)))) return "broken";
  return {
    channel: buffer.readUInt8(at + 4),
    seq: Number(buffer.readBigUInt64LE(at + 8)),
    offset: Number(buffer.readBigUInt64LE(at + 16)),
    bytes,
  };
}
