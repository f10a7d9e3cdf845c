import type { LogRecord, LogSource } from "./node-runtime.ts";

/** A line without a newline is cut here, so that one endless line cannot be held in memory. */
export const MAX_LINE_BYTES = 64 * 1024;

const NEWLINE = 10;

export interface LogLine {
  readonly source: LogSource;
  readonly atMs: number;
  /** Without the newline that ended it. */
  readonly bytes: Buffer;
}

/** Cuts records of one job into lines, each source apart; lines come in the order in which they end. */
export interface LineSplitter {
  push(record: LogRecord): LogLine[];
  /** What had no newline when the output ended. */
  end(): LogLine[];
}

interface Partial {
  chunks: Buffer[];
  bytes: number;
  atMs: number;
}

export function createLineSplitter(): LineSplitter {
  const partials = new Map<LogSource, Partial>();

  function take(partial: Partial, source: LogSource): LogLine {
    const bytes = partial.chunks.length === 1 && partial.chunks[0] ? partial.chunks[0] : Buffer.concat(partial.chunks);
    const line = { source, atMs: partial.atMs, bytes };
    partial.chunks = [];
    partial.bytes = 0;
    return line;
  }

  return {
    push(record) {
      if (record.source === "system") return [{ source: "system", atMs: record.atMs, bytes: record.bytes }];
      const partial = partials.get(record.source) ?? { chunks: [], bytes: 0, atMs: record.atMs };
      partials.set(record.source, partial);
      const lines: LogLine[] = [];
      let rest = record.bytes;
      while (rest.length > 0) {
        if (partial.bytes === MAX_LINE_BYTES && rest[0] !== NEWLINE) lines.push(take(partial, record.source));
        const newline = rest.indexOf(NEWLINE);
        const room = MAX_LINE_BYTES - partial.bytes;
        const ends = newline >= 0 && newline <= room;
        const length = ends ? newline : Math.min(rest.length, room);
        if (partial.bytes === 0) partial.atMs = record.atMs;
        partial.chunks.push(rest.subarray(0, length));
        partial.bytes += length;
        rest = rest.subarray(ends ? length + 1 : length);
        if (ends) lines.push(take(partial, record.source));
      }
      return lines;
    },
    end() {
      const lines: LogLine[] = [];
      for (const [source, partial] of partials) if (partial.bytes > 0) lines.push(take(partial, source));
      return lines;
    },
  };
}
