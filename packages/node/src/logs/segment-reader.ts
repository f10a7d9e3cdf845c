import type { FileHandle } from "node:fs/promises";
import type { JobId } from "@mags/domain";
import {
  decodeRecord,
  isSegmentHeader,
  MAX_RECORD_BYTES,
  RECORD_HEADER_BYTES,
  SEGMENT_HEADER_BYTES,
  type SegmentRecord,
} from "./segment.ts";

/** Reads a segment forward from its beginning, in pieces; bytes appended meanwhile are seen by the next call. */
export interface SegmentReader {
  /** The next whole records, about `maxBytes` of them at most; empty when there are none (yet). */
  next(maxBytes: number): Promise<SegmentRecord[]>;
  /** File offset behind the last record returned. */
  readonly offset: number;
}

export async function openSegmentReader(file: FileHandle, jobId: JobId): Promise<SegmentReader | undefined> {
  const header = Buffer.alloc(SEGMENT_HEADER_BYTES);
  await file.read(header, 0, SEGMENT_HEADER_BYTES, 0);
  if (!isSegmentHeader(header, jobId)) return undefined;
  let offset = SEGMENT_HEADER_BYTES;

  return {
    async next(maxBytes) {
      const buffer = Buffer.allocUnsafe(Math.max(maxBytes, RECORD_HEADER_BYTES + MAX_RECORD_BYTES));
      const { bytesRead } = await file.read(buffer, 0, buffer.length, offset);
      const filled = buffer.subarray(0, bytesRead);
      const records: SegmentRecord[] = [];
      let position = 0;
      for (;;) {
        const decoded = decodeRecord(filled, position);
        if (decoded === "short" || decoded === "invalid") break;
        records.push(decoded.record);
        position = decoded.next;
      }
      offset += position;
      return records;
    },
    get offset() {
      return offset;
    },
  };
}
