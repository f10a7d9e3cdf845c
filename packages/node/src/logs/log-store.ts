/**
 * Output of all jobs of a node: one segment file each. A job that will run is announced first, so that a reader may come
 * before its first byte.
 */
import { type FileHandle, open } from "node:fs/promises";
import { join } from "node:path";
import { AppError, type Clock } from "@mags/core";
import type { JobId, LogRecord, LogSink, LogTail } from "@mags/domain";
import { type LogWriter, openLogWriter } from "./log-writer.ts";
import { openSegmentReader, type SegmentReader } from "./segment-reader.ts";

const READ_BYTES = 1024 * 1024;

interface Channel {
  readonly sinks: Set<LogSink>;
  writing: boolean;
}

export interface LogStore {
  /** From now on the job may be read; `close` says that no more will come. Repeating it is harmless. */
  announce(jobId: JobId): void;
  openWriter(
    jobId: JobId,
    options: { readonly onDurable: (seq: number) => void; readonly onFirst: () => void; readonly onLimit: () => void },
  ): Promise<LogWriter>;
  /** No more output will come: tails end. */
  close(jobId: JobId): void;
  openTail(jobId: JobId, onChange: LogSink): Promise<LogTail>;
}

export function createLogStore(
  directory: string,
  deps: { readonly clock: Clock },
  options: { readonly maxBytesPerJob: number },
): LogStore {
  const channels = new Map<JobId, Channel>();
  const pathOf = (jobId: JobId) => join(directory, jobId.slice(0, 2), `${jobId}.log`);

  function notify(jobId: JobId): void {
    for (const sink of channels.get(jobId)?.sinks ?? []) sink();
  }

  const store: LogStore = {
    announce(jobId) {
      if (!channels.has(jobId)) channels.set(jobId, { sinks: new Set(), writing: true });
    },

    async openWriter(jobId, { onDurable, onFirst, onLimit }) {
      store.announce(jobId);
      let first = true;
      return openLogWriter(pathOf(jobId), jobId, deps, {
        maxBytes: options.maxBytesPerJob,
        onLimit,
        onProgress({ durable, seq }) {
          if (durable) return onDurable(seq);
          notify(jobId);
          if (first) onFirst();
          first = false;
        },
      });
    },

    close(jobId) {
      const channel = channels.get(jobId);
      if (!channel) return;
      channel.writing = false;
      notify(jobId);
      if (channel.sinks.size === 0) channels.delete(jobId);
    },

    async openTail(jobId, onChange) {
      const channel = channels.get(jobId);
      let file = await openIfThere(pathOf(jobId));
      if (!file && !channel) throw new AppError("job_not_found", `job ${jobId} has no output on this node`);
      channel?.sinks.add(onChange);
      let reader: SegmentReader | undefined;
      let ahead: LogRecord[] = [];
      let index = 0;
      let finished = false;

      async function rewind(): Promise<void> {
        reader = undefined;
        ahead = [];
        index = 0;
      }

      /** Reads on until there are records from `from` on, or no more bytes. */
      async function readFrom(from: number): Promise<LogRecord[]> {
        file ??= await openIfThere(pathOf(jobId));
        if (!file) return [];
        reader ??= await openSegmentReader(file, jobId);
        while (reader) {
          ahead = ahead.filter((record) => record.index >= from);
          if (ahead.length > 0) break;
          const records = await reader.next(READ_BYTES);
          if (records.length === 0) break;
          for (const { source, atMs, bytes } of records)
            if (source !== "end") ahead.push({ index: ++index, source, atMs, bytes });
        }
        const found = ahead;
        ahead = [];
        return found;
      }

      return {
        async read(from) {
          // Asked before reading: what is written between the two is seen by the next call.
          const over = !channel?.writing;
          if (from <= index) await rewind();
          const records = await readFrom(from);
          finished = over && records.length === 0;
          return records;
        },
        ended: () => finished,
        async close() {
          channel?.sinks.delete(onChange);
          if (channel && !channel.writing && channel.sinks.size === 0) channels.delete(jobId);
          await file?.close();
          file = undefined;
        },
      };
    },
  };
  return store;
}

async function openIfThere(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, "r");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
