import type { LogRecord, LogSink, LogSource, LogTail } from "@mags/domain";

const READ_BYTES = 1024 * 1024;
const RECORD_BYTES = 64 * 1024;

/** The output of one simulated job, kept in memory. */
export interface SimulatedLog {
  append(source: LogSource, bytes: Buffer | string): void;
  end(): void;
  tail(onChange: LogSink): LogTail;
}

export function createSimulatedLog(nowMs: () => number): SimulatedLog {
  const records: LogRecord[] = [];
  const sinks = new Set<LogSink>();
  let ended = false;

  function changed() {
    for (const sink of sinks) sink();
  }

  function readFrom(from: number): LogRecord[] {
    const batch: LogRecord[] = [];
    let bytes = 0;
    for (const record of records.slice(from - 1)) {
      if (bytes >= READ_BYTES) break;
      batch.push(record);
      bytes += record.bytes.length;
    }
    return batch;
  }

  return {
    append(source, text) {
      const bytes = Buffer.from(text);
      for (let at = 0; at < bytes.length; at += RECORD_BYTES) {
        const piece = bytes.subarray(at, at + RECORD_BYTES);
        records.push({ index: records.length + 1, source, atMs: nowMs(), bytes: piece });
      }
      changed();
    },
    end() {
      ended = true;
      changed();
    },
    tail(onChange) {
      // A function of its own per tail: two tails may share one sink.
      const sink = () => onChange();
      sinks.add(sink);
      return {
        read: async (from) => readFrom(from),
        ended: () => ended,
        close: async () => {
          sinks.delete(sink);
        },
      };
    },
  };
}
