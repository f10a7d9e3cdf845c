/** A stream of a guest whose records are pulled: the guest's window is the only thing that is held. */
import { AppError, untilAborted } from "@mags/core";
import type { AgentConnection, AgentStream, KindOptions, StreamRecord } from "../agent/index.ts";
import { streamFailure } from "./file-errors.ts";

const WINDOW_BYTES = 2 * 1024 * 1024;
/** A part of the records that a guest may have unacknowledged. */
const ACK_RECORDS = 1_024;

export interface PacedStream {
  readonly stream: AgentStream;
  /** Resolves when there is something to `take`, or nothing will come any more. @throws AppError when the guest failed. */
  more(): Promise<boolean>;
  /** The next record, whose bytes do not count as taken before `taken`. */
  take(): StreamRecord;
  taken(record: StreamRecord): void;
  /** Ends it, and with it whoever waits. May be repeated. */
  close(): void;
}

/** It ends when `signal` aborts. @param more.check  Sees each record when it comes; what it throws is the guest's fault. */
export function openPaced(
  agent: AgentConnection,
  options: KindOptions,
  { signal, check }: { readonly signal: AbortSignal; readonly check?: (record: StreamRecord) => void },
): PacedStream {
  const queue: StreamRecord[] = [];
  let over: { readonly error: unknown } | undefined;
  let wake = () => {};
  const stream = agent.open(
    {
      ...options,
      window: WINDOW_BYTES,
      paced: true,
      onRecord(record) {
        check?.(record);
        queue.push(record);
        wake();
      },
    },
    { signal },
  );
  const end = (error: unknown) => {
    over ??= { error };
    wake();
  };
  stream.ended.then(({ failure }) => end(failure && streamFailure(failure)), end);
  const onAbort = () => {
    stream.close();
    wake();
  };
  signal.addEventListener("abort", onAbort, { once: true });
  let ackedSeq = 0;
  let ackedOffset = 0;

  return {
    stream,
    async more() {
      for (;;) {
        signal.throwIfAborted();
        if (queue.length > 0) return true;
        if (over?.error) throw over.error;
        if (over) return false;
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    },
    take() {
      const record = queue.shift();
      if (!record) throw new AppError("internal", "a record of a guest was read twice");
      return record;
    },
    taken(record) {
      const [seq, offset] = [record.seq + 1, record.offset + record.bytes.length];
      if (offset - ackedOffset < WINDOW_BYTES / 4 && seq - ackedSeq < ACK_RECORDS) return;
      [ackedSeq, ackedOffset] = [seq, offset];
      stream.ack(seq, offset);
    },
    close() {
      signal.removeEventListener("abort", onAbort);
      stream.close();
    },
  };
}

/** Resolves when the guest has opened it. @param signals.patience  How long that may take: it goes on when this aborts later. */
export async function openedPaced(
  agent: AgentConnection,
  options: KindOptions,
  {
    signal,
    check,
    patience,
  }: {
    readonly signal: AbortSignal;
    readonly check?: (record: StreamRecord) => void;
    readonly patience?: AbortSignal;
  },
): Promise<PacedStream> {
  const paced = openPaced(agent, options, { signal, ...(check && { check }) });
  try {
    await untilAborted(paced.stream.opened, patience ? AbortSignal.any([signal, patience]) : signal);
    return paced;
  } catch (error) {
    paced.close();
    throw error;
  }
}
