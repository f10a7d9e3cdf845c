/**
 * Output of one command on its way to its client, on disk: a row of segments, of which those are deleted that the client
 * has. It bridges a restart of the process, not a power cut, which ends the guest too; so it is synced only before a guest
 * sleeps.
 */
import { type FileHandle, mkdir, open, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { AppError } from "@mags/core";
import { syncPath } from "../host/files.ts";
import {
  decodeRecord,
  decodeSegmentHeader,
  encodeRecord,
  encodeSegmentHeader,
  RECORD_HEADER_BYTES,
  SEGMENT_HEADER_BYTES,
  type SpoolPosition,
  type SpoolRecord,
} from "./spool-record.ts";

const SUFFIX = ".spool";

export interface Segment extends SpoolPosition {
  readonly path: string;
  /** Bytes of the file that were written whole. */
  size: number;
}

export interface Spool extends AsyncDisposable {
  /** Number of the next record that is wanted of the guest. */
  readonly nextSeq: number;
  /** Bytes of output on file or before what is there. */
  readonly endOffset: number;
  /** The first byte of output that is there. */
  readonly startOffset: number;
  /** Bytes of disk. */
  readonly heldBytes: number;
  /** Oldest first. */
  readonly segments: readonly Segment[];
  append(record: SpoolRecord): void;
  /** Resolves when everything appended is on file. Rejects when the disk failed. */
  flushed(): Promise<void>;
  /** Resolves when everything that is on file is on stable storage. */
  sync(): Promise<void>;
  /** Output before `offset` is not wanted again. */
  acknowledge(offset: number): void;
}

export interface SpoolOptions {
  readonly segmentBytes: number;
  /** Records below `seq`, which hold the first `offset` bytes, are on file. Must not throw. */
  readonly onWritten: (position: SpoolPosition) => void;
  /** The disk failed: nothing more is written. Must not throw. */
  readonly onFailed: (error: unknown) => void;
}

/** @param found  What an earlier process left, by `recoverSpool`. */
export function createSpool(directory: string, options: SpoolOptions, found?: RecoveredSpool): Spool {
  const segments: Segment[] = [...(found?.segments ?? [])];
  let { seq: nextSeq, offset: endOffset } = found?.end ?? { seq: 0, offset: 0 };
  let startOffset = segments[0]?.offset ?? endOffset;
  let file: FileHandle | undefined;
  let queue: SpoolRecord[] = [];
  let writing: Promise<void> | undefined;
  let failure: unknown;

  async function segmentFor(first: SpoolRecord): Promise<{ readonly file: FileHandle; readonly segment: Segment }> {
    const last = segments.at(-1);
    if (file && last && last.size < options.segmentBytes) return { file, segment: last };
    await file?.close();
    file = undefined;
    const { seq, offset } = first;
    const segment = { path: join(directory, `${String(seq).padStart(16, "0")}${SUFFIX}`), seq, offset, size: 0 };
    file = await open(segment.path, "w", 0o600);
    await writeWhole(file, [encodeSegmentHeader(segment)]);
    segment.size = SEGMENT_HEADER_BYTES;
    segments.push(segment);
    return { file, segment };
  }

  async function writeQueue(): Promise<void> {
    for (let [first] = queue; first; [first] = queue) {
      const records = queue;
      queue = [];
      const target = await segmentFor(first);
      const length = await writeWhole(target.file, records.flatMap(encodeRecord));
      target.segment.size += length;
      const last = records.at(-1) ?? first;
      endOffset = last.offset + last.bytes.length;
      options.onWritten({ seq: last.seq + 1, offset: endOffset });
    }
  }

  function write(): Promise<void> {
    writing ??= writeQueue()
      .catch((error: unknown) => {
        failure = error;
        queue = [];
        options.onFailed(error);
      })
      .finally(() => {
        writing = undefined;
        if (queue.length > 0) void write(); // came while this one was ending
      });
    return writing;
  }

  return {
    segments,
    get nextSeq() {
      return nextSeq;
    },
    get endOffset() {
      return endOffset;
    },
    get startOffset() {
      return startOffset;
    },
    get heldBytes() {
      return segments.reduce((sum, { size }) => sum + size, 0);
    },
    append(record) {
      nextSeq = record.seq + 1;
      if (failure !== undefined) return;
      queue.push(record);
      void write();
    },
    async flushed() {
      while (writing) await writing;
      if (failure !== undefined) throw failure;
    },
    async sync() {
      while (writing) await writing;
      for (const { path } of [...segments])
        await syncPath(path).catch((error: NodeJS.ErrnoException) => {
          if (error.code !== "ENOENT") throw error; // the client has it by now
        });
      await syncPath(directory);
    },
    acknowledge(offset) {
      startOffset = Math.max(startOffset, Math.min(offset, endOffset));
      // The last one is written to.
      for (
        let [first, second] = segments;
        first && second && second.offset <= startOffset;
        [first, second] = segments
      ) {
        segments.shift();
        void rm(first.path, { force: true }).catch(() => {}); // goes with the folder at the latest
      }
    },
    async [Symbol.asyncDispose]() {
      await writing;
      await file?.close();
      file = undefined;
    },
  };
}

/** Appends. A disk that gets full takes a part of a write, and says so only at the next. */
async function writeWhole(file: FileHandle, pieces: readonly Buffer[]): Promise<number> {
  const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
  const { bytesWritten } = await file.writev(pieces);
  if (bytesWritten !== length)
    throw new AppError("unavailable", `only ${bytesWritten} of ${length} bytes could be written: is the disk full?`);
  return length;
}

export interface RecoveredSpool {
  readonly segments: readonly Segment[];
  /** After the last whole record. */
  readonly end: SpoolPosition;
}

/** Finds what an earlier process wrote. What it had not written whole is left out: the guest sends it again. */
export async function recoverSpool(directory: string): Promise<RecoveredSpool> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const names = (await readdir(directory)).filter((name) => name.endsWith(SUFFIX)).sort();
  const segments: Segment[] = [];
  let end: SpoolPosition = { seq: 0, offset: 0 };
  for (const name of names) {
    const path = join(directory, name);
    await using file = await open(path, "r+");
    const bytes = await file.readFile();
    const begin = decodeSegmentHeader(bytes);
    if (!begin) {
      await rm(path, { force: true });
      continue;
    }
    let size = SEGMENT_HEADER_BYTES;
    end = begin;
    for (let record = decodeRecord(bytes, size); typeof record === "object"; record = decodeRecord(bytes, size)) {
      size += RECORD_HEADER_BYTES + record.bytes.length;
      end = { seq: record.seq + 1, offset: record.offset + record.bytes.length };
    }
    await file.truncate(size);
    segments.push({ path, ...begin, size });
  }
  return { segments, end };
}
