/**
 * The file that holds the output of one job, as bytes. Append-only; every record carries a checksum, so that a reader
 * finds the end of what was written whole. Layout: docs/formats/log-segment.md.
 */
import { crc32 } from "node:zlib";
import type { JobId, LogSource } from "@mags/domain";

export const SEGMENT_HEADER_BYTES = 32;
export const RECORD_HEADER_BYTES = 28;
export const MAX_RECORD_BYTES = 64 * 1024;

const MAGIC = Buffer.from("MAGSLOG1", "latin1");
const SOURCES: readonly (LogSource | "end")[] = ["stdout", "stderr", "system", "end"];

export interface SegmentRecord {
  /** `end`: the job wrote its last record. */
  readonly source: LogSource | "end";
  /** Number the guest agent gave the record, from 0; -1 for records of the node. */
  readonly seq: number;
  readonly atMs: number;
  readonly bytes: Buffer;
}

export function encodeSegmentHeader(jobId: JobId): Buffer {
  const header = Buffer.alloc(SEGMENT_HEADER_BYTES);
  MAGIC.copy(header, 0);
  Buffer.from(jobId.replaceAll("-", ""), "hex").copy(header, 8);
  header.writeUInt32LE(crc32(header.subarray(0, 28)), 28);
  return header;
}

/** True when `header` begins a segment of that job. */
export function isSegmentHeader(header: Buffer, jobId: JobId): boolean {
  return header.equals(encodeSegmentHeader(jobId));
}

/** Header and payload of a record, to be written in this order. */
export function encodeRecord(record: SegmentRecord): [header: Buffer, payload: Buffer] {
  const header = Buffer.alloc(RECORD_HEADER_BYTES);
  header.writeUInt32LE(record.bytes.length, 0);
  header.writeUInt8(SOURCES.indexOf(record.source) + 1, 4);
  header.writeBigInt64LE(BigInt(record.seq), 8);
  header.writeBigInt64LE(BigInt(Math.round(record.atMs)), 16);
  header.writeUInt32LE(crc32(record.bytes, crc32(header.subarray(0, 24))), 24);
  return [header, record.bytes];
}

/**
 * Decodes the record at `offset`. @returns the record and the offset behind it; `"short"` when more bytes are needed;
 * `"invalid"` when what stands there is not a whole record.
 */
export function decodeRecord(
  buffer: Buffer,
  offset: number,
): { readonly record: SegmentRecord; readonly next: number } | "short" | "invalid" {
  if (buffer.length - offset < RECORD_HEADER_BYTES) return "short";
  const length = buffer.readUInt32LE(offset);
  const source = SOURCES[buffer.readUInt8(offset + 4) - 1];
  if (length > MAX_RECORD_BYTES || source === undefined) return "invalid";
  const start = offset + RECORD_HEADER_BYTES;
  if (buffer.length < start + length) return "short";
  const bytes = buffer.subarray(start, start + length);
  if (crc32(bytes, crc32(buffer.subarray(offset, offset + 24))) !== buffer.readUInt32LE(offset + 24)) return "invalid";
  const record = {
    source,
    seq: Number(buffer.readBigInt64LE(offset + 8)),
    atMs: Number(buffer.readBigInt64LE(offset + 16)),
    bytes,
  };
  return { record, next: start + length };
}
