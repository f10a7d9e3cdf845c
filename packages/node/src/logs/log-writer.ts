/**
 * Appends the output of one job to its segment. Records become readable when they are written, durable when the group
 * they are in is synced, at most `SYNC_WITHIN_MS` later; only then may the guest forget them.
 */
import { type FileHandle, mkdir, open } from "node:fs/promises";
import { dirname } from "node:path";
import { AppError, type Clock } from "@mags/core";
import type { JobId, LogSource } from "@mags/domain";
import { syncPath } from "../host/files.ts";
import {
  encodeRecord,
  encodeSegmentHeader,
  RECORD_HEADER_BYTES,
  SEGMENT_HEADER_BYTES,
  type SegmentRecord,
} from "./segment.ts";
import { openSegmentReader } from "./segment-reader.ts";

const SYNC_WITHIN_MS = 20;
/** The file may be so many times as large as the output that is kept: a guest decides how small its pieces are. */
const MAX_FILE_FACTOR = 2;

export interface LogWriterOptions {
  readonly maxBytes: number;
  /** Called after records were written (`durable` false), and again after they were synced (`durable` true). */
  readonly onProgress: (progress: { readonly durable: boolean; readonly seq: number }) => void;
  /** Called once, when output is dropped from here on. */
  readonly onLimit: () => void;
}

export interface LogWriter extends AsyncDisposable {
  /** Number of the next record expected from the guest agent. */
  readonly nextSeq: number;
  /**
   * Number of the record to go on with after an interruption, when the guest has forgotten all below `acked`. Beyond the limit on output that is
   * ahead of what the file holds: what was dropped was acknowledged all the same.
   */
  resumeAt(acked: number): number;
  /** Takes a record of the guest. `seq` must be `nextSeq`. */
  append(record: {
    readonly source: LogSource;
    readonly seq: number;
    readonly atMs: number;
    readonly bytes: Buffer;
  }): void;
  /** Marks the output as complete and makes all of it durable. */
  end(): Promise<void>;
  /** Rejects when the disk fails; then nothing more is written or reported as durable. */
  readonly failed: Promise<never>;
}

interface Recovered {
  readonly offset: number;
  readonly nextSeq: number;
  readonly bytes: number;
  readonly limited: boolean;
  readonly ended: boolean;
}

const NOTHING: Recovered = { offset: SEGMENT_HEADER_BYTES, nextSeq: 0, bytes: 0, limited: false, ended: false };

/** Appends. A disk that gets full takes a part of a write, and says so only at the next. */
async function writeWhole(file: FileHandle, pieces: readonly Buffer[]): Promise<void> {
  const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
  const { bytesWritten } = await file.writev(pieces);
  if (bytesWritten !== length)
    throw new AppError("unavailable", `only ${bytesWritten} of ${length} bytes could be written: is the disk full?`);
}

/** Begins the segment; nothing when there is one. */
async function create(path: string, jobId: JobId): Promise<FileHandle | undefined> {
  let file: FileHandle | undefined;
  try {
    file = await open(path, "ax+", 0o600);
    await writeWhole(file, [encodeSegmentHeader(jobId)]);
    return file;
  } catch (error) {
    await file?.close();
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return undefined;
    throw error;
  }
}

/** Finds the end of what was written whole, and cuts off what follows. */
async function recover(file: FileHandle, jobId: JobId): Promise<Recovered> {
  const reader = await openSegmentReader(file, jobId);
  if (!reader) {
    await file.truncate(0);
    await writeWhole(file, [encodeSegmentHeader(jobId)]);
    return { offset: SEGMENT_HEADER_BYTES, nextSeq: 0, bytes: 0, limited: false, ended: false };
  }
  let nextSeq = 0;
  let bytes = 0;
  let limited = false;
  let ended = false;
  for (let records = await reader.next(1 << 20); records.length > 0; records = await reader.next(1 << 20)) {
    for (const record of records) {
      if (record.seq >= 0) nextSeq = record.seq + 1;
      if (record.source === "system") limited = true;
      if (record.source === "end") ended = true;
      bytes += record.bytes.length;
    }
  }
  await file.truncate(reader.offset);
  return { offset: reader.offset, nextSeq, bytes, limited, ended };
}

export async function openLogWriter(
  path: string,
  jobId: JobId,
  deps: { readonly clock: Clock },
  options: LogWriterOptions,
): Promise<LogWriter> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const fresh = await create(path, jobId);
  const file = fresh ?? (await open(path, "a+", 0o600));
  const recovered = fresh ? NOTHING : await recover(file, jobId);
  let named = false;

  let { nextSeq, bytes, limited, ended, offset: fileBytes } = recovered;
  /** `record` null: dropped, but its place counts. */
  let queue: { readonly seq: number; readonly record: SegmentRecord | null }[] = [];
  let writtenSeq = nextSeq;
  let writing: Promise<void> | undefined;
  let syncing: Promise<void> | undefined;
  let syncTimer: NodeJS.Timeout | undefined;
  let unsynced = false;
  const failure = Promise.withResolvers<never>();
  failure.promise.catch(() => {});
  let broken = false;

  function fail(error: unknown): void {
    broken = true;
    failure.reject(error);
  }

  async function writeQueue(): Promise<void> {
    while (queue.length > 0 && !broken) {
      const items = queue;
      queue = [];
      const records = items.flatMap((item) => item.record ?? []);
      if (records.length > 0) await writeWhole(file, records.flatMap(encodeRecord));
      for (const item of items) if (item.seq >= 0) writtenSeq = item.seq + 1;
      unsynced = true;
      options.onProgress({ durable: false, seq: writtenSeq });
      syncTimer ??= setTimeout(() => void sync(), SYNC_WITHIN_MS);
    }
  }

  function write(): Promise<void> {
    writing ??= writeQueue()
      .catch(fail)
      .finally(() => {
        writing = undefined;
      });
    return writing;
  }

  /** Makes durable what was written when it began. */
  function sync(): Promise<void> {
    clearTimeout(syncTimer);
    syncTimer = undefined;
    syncing ??= (async () => {
      const upTo = writtenSeq;
      unsynced = false;
      // What is acknowledged must be found after a power cut: its name too.
      await Promise.all([file.datasync(), named ? undefined : syncPath(dirname(path))]);
      named = true;
      options.onProgress({ durable: true, seq: upTo });
    })()
      .catch(fail)
      .finally(() => {
        syncing = undefined;
        if (unsynced && !broken) syncTimer ??= setTimeout(() => void sync(), SYNC_WITHIN_MS);
      });
    return syncing;
  }

  function enqueue(seq: number, record: SegmentRecord | null): void {
    queue.push({ seq, record });
    void write();
  }

  const system = (source: "system" | "end", message: string): SegmentRecord => ({
    source,
    seq: -1,
    atMs: deps.clock.now().getTime(),
    bytes: Buffer.from(message),
  });

  return {
    get nextSeq() {
      return nextSeq;
    },
    resumeAt(acked) {
      if (limited) nextSeq = Math.max(nextSeq, acked);
      return nextSeq;
    },
    append(record) {
      nextSeq = record.seq + 1;
      if (limited) return enqueue(record.seq, null);
      const room = options.maxBytes - bytes;
      const fileRoom = options.maxBytes * MAX_FILE_FACTOR - fileBytes - RECORD_HEADER_BYTES;
      bytes += record.bytes.length;
      fileBytes += RECORD_HEADER_BYTES + record.bytes.length;
      if (record.bytes.length <= Math.min(room, fileRoom)) return enqueue(record.seq, record);
      limited = true;
      const kept = record.bytes.subarray(0, Math.max(0, Math.min(room, fileRoom)));
      enqueue(record.seq, { ...record, bytes: kept });
      enqueue(-1, system("system", limitMessage(options.maxBytes, { smallPieces: fileRoom < room })));
      options.onLimit();
    },
    async end() {
      if (!ended) {
        ended = true;
        enqueue(-1, system("end", ""));
      }
      while ((writing || syncing || unsynced) && !broken) await (writing ?? syncing ?? sync());
      if (broken) await failure.promise;
    },
    failed: failure.promise,
    async [Symbol.asyncDispose]() {
      await writing;
      await syncing;
      clearTimeout(syncTimer);
      await file.close();
    },
  };
}

function limitMessage(maxBytes: number, { smallPieces }: { readonly smallPieces: boolean }): string {
  const limit = smallPieces
    ? `${maxBytes * MAX_FILE_FACTOR} bytes, with the times of its many small pieces,`
    : `${maxBytes} bytes`;
  return `output limit of ${limit} reached: the script runs on, but what it prints from here is dropped`;
}
