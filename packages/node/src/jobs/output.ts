/** Carries the records of a job's script from the guest to its log, and acknowledges them when they are durable. */
import type { Clock } from "@mags/core";
import type { JobId } from "@mags/domain";
import type { AgentStream, StreamRecord } from "../agent/index.ts";
import type { LogStore } from "../logs/log-store.ts";
import type { LogWriter } from "../logs/log-writer.ts";

const STDERR_CHANNEL = 2;

export interface Output extends AsyncDisposable {
  /** Number of the record to go on with, when the guest has forgotten all below `acked`. */
  resumeAt(acked: number): number;
  /** Takes records of this stream from now on. */
  attach(stream: AgentStream): void;
  receive(record: StreamRecord): void;
  /** All records are in: makes them durable and closes the log. */
  end(): Promise<void>;
  readonly failed: Promise<never>;
}

export interface OutputOptions {
  readonly jobId: JobId;
  /** No record can be older than this (wall clock, ms): a guest's clock is not to be trusted. */
  readonly notBeforeMs: number;
  readonly onFirst: () => void;
  /** Called with each record. */
  readonly onRecord?: () => void;
  readonly onLimit: () => void;
}

export async function openOutput(
  logs: LogStore,
  deps: { readonly clock: Clock },
  options: OutputOptions,
): Promise<Output> {
  let stream: AgentStream | undefined;
  /** Received and not yet acknowledged, in order. */
  const pending: { readonly seq: number; readonly endOffset: number }[] = [];

  const writer: LogWriter = await logs.openWriter(options.jobId, {
    onFirst: options.onFirst,
    onLimit: options.onLimit,
    onDurable(nextSeq) {
      let last: { readonly seq: number; readonly endOffset: number } | undefined;
      while (pending[0] && pending[0].seq < nextSeq) last = pending.shift();
      if (last) stream?.ack(last.seq + 1, last.endOffset);
    },
  });

  return {
    resumeAt: writer.resumeAt,
    attach(attached) {
      stream = attached;
    },
    receive({ seq, offset, channel, ageMs, bytes }) {
      options.onRecord?.();
      const now = deps.clock.now().getTime();
      pending.push({ seq, endOffset: offset + bytes.length });
      writer.append({
        source: channel === STDERR_CHANNEL ? "stderr" : "stdout",
        seq,
        atMs: Math.min(now, Math.max(options.notBeforeMs, now - ageMs)),
        bytes,
      });
    },
    async end() {
      await writer.end();
      logs.close(options.jobId);
    },
    failed: writer.failed,
    async [Symbol.asyncDispose]() {
      logs.close(options.jobId);
      await writer[Symbol.asyncDispose]();
    },
  };
}
