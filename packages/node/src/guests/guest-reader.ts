/** What a stream of a guest sends, at the pace of its reader: the guest's window is the only thing that is held. */
import { AppError } from "@mags/core";
import type { FromGuest } from "@mags/domain";
import type { AgentConnection, KindOptions, StreamRecord } from "../agent/index.ts";
import { streamFailure } from "./file-errors.ts";

const WINDOW_BYTES = 2 * 1024 * 1024;
/** A part of the records that a guest may have unacknowledged. */
const ACK_RECORDS = 1_024;

/**
 * Resolves when the guest has sent something or has ended, so that what goes wrong at once rejects. The stream ends with
 * the iteration, or when `signal` aborts.
 */
export async function openReader(
  agent: AgentConnection,
  options: KindOptions,
  { signal }: { readonly signal: AbortSignal },
): Promise<FromGuest<Buffer>> {
  const queue: StreamRecord[] = [];
  let over: { readonly error: unknown } | undefined;
  let wake = () => {};
  const stream = agent.open(
    {
      ...options,
      window: WINDOW_BYTES,
      paced: true,
      onRecord(record) {
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

  function taken(record: StreamRecord): void {
    const [seq, offset] = [record.seq + 1, record.offset + record.bytes.length];
    if (offset - ackedOffset < WINDOW_BYTES / 4 && seq - ackedSeq < ACK_RECORDS) return;
    [ackedSeq, ackedOffset] = [seq, offset];
    stream.ack(seq, offset);
  }

  function close(): void {
    signal.removeEventListener("abort", onAbort);
    stream.close();
  }

  /** False when there is nothing more. */
  async function more(): Promise<boolean> {
    for (;;) {
      signal.throwIfAborted();
      if (queue.length > 0) return true;
      if (over?.error) throw over.error;
      if (over) return false;
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  }

  async function* read(): FromGuest<Buffer> {
    try {
      while (await more()) {
        const record = queue.shift();
        if (!record) throw new AppError("internal", "a record of a guest was read twice");
        yield record.bytes;
        taken(record);
      }
    } finally {
      close();
    }
  }

  try {
    await more();
  } catch (error) {
    close();
    throw error;
  }
  return read();
}
