/** Reads a spool in order from some byte of output on, as far as it is written. */
import { type FileHandle, open } from "node:fs/promises";
import { AppError } from "@mags/core";
import type { ExecOutput } from "@mags/domain";
import type { Segment, Spool } from "./spool.ts";
import { decodeRecord, RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES } from "./spool-record.ts";

const STDERR_CHANNEL = 2;
const READ_BYTES = 256 * 1024;

export interface SpoolReader extends AsyncDisposable {
  /** Output from where the last call ended, at most about 256 KiB; nothing when there is no more yet. */
  read(): Promise<readonly ExecOutput[]>;
  /** Of the next byte. */
  readonly offset: number;
}

/** @param from  Of the first byte that is wanted; it is there, or is the next to come. */
export function createSpoolReader(spool: Spool, from: number): SpoolReader {
  let offset = from;
  let segment: Segment | undefined;
  let file: FileHandle | undefined;
  let position = 0;

  /** Opens the segment that holds the next byte; false when there is none yet. */
  async function advance(): Promise<boolean> {
    const next = spool.segments.findLast((candidate) => candidate.offset <= offset);
    if (!next || next === segment) return false;
    await file?.close();
    file = undefined;
    file = await open(next.path, "r");
    segment = next;
    position = SEGMENT_HEADER_BYTES;
    return true;
  }

  return {
    get offset() {
      return offset;
    },
    async read() {
      for (;;) {
        if (!segment || !file || position >= segment.size) {
          if (!(await advance())) return [];
          continue;
        }
        const buffer = Buffer.allocUnsafeSlow(Math.min(READ_BYTES, segment.size - position));
        const { bytesRead } = await file.read(buffer, 0, buffer.length, position);
        const outputs: ExecOutput[] = [];
        let at = 0;
        for (;;) {
          const record = decodeRecord(buffer.subarray(0, bytesRead), at);
          if (record === "short") break;
          if (record === "broken") throw unreadable();
          at += RECORD_HEADER_BYTES + record.bytes.length;
          const skip = Math.max(0, offset - record.offset);
          if (skip >= record.bytes.length) continue;
          const bytes = record.bytes.subarray(skip);
          const source = record.channel === STDERR_CHANNEL ? "stderr" : "stdout";
          outputs.push({ source, offset: record.offset + skip, bytes });
          offset = record.offset + record.bytes.length;
        }
        if (at === 0) throw unreadable();
        position += at;
        if (outputs.length > 0) return outputs;
      }
    },
    async [Symbol.asyncDispose]() {
      await file?.close();
      file = undefined;
    },
  };
}

function unreadable(): AppError {
  return new AppError("unavailable", "the output of the command that was kept on disk cannot be read any more");
}
