/** A connection of a guest over its stream. */
import { untilAborted } from "@mags/core";
import type { GuestSocket } from "@mags/domain";
import { streamFailure } from "./file-errors.ts";
import type { PacedStream } from "./paced-stream.ts";

/** @param options.touch  Called with every piece that passes. */
export function socketOver(
  paced: PacedStream,
  { touch, signal }: { readonly signal: AbortSignal; readonly touch: () => void },
): GuestSocket {
  const { stream } = paced;
  let isRead = false;
  /** Nothing will be read any more. */
  const readThrough = Promise.withResolvers<void>();

  /** Why the guest takes no more. Who is told gives the socket up, so what has come is read first. */
  async function failed(): Promise<void> {
    const { failure } = await stream.ended;
    // Both directions are over: the other side has all. Agents of older templates do not confirm the end by itself.
    if (!failure) return;
    await untilAborted(readThrough.promise, signal);
    throw streamFailure(failure);
  }

  async function next(): Promise<Buffer | null> {
    while (!isRead && (await paced.more())) {
      const record = paced.take();
      paced.taken(record);
      touch();
      // The mark of the end may come with the last bytes, or alone.
      isRead = record.fin;
      if (record.bytes.length > 0) return record.bytes;
    }
    return null;
  }

  return {
    async read() {
      let bytes: Buffer | null = null;
      try {
        bytes = await next();
        return bytes;
      } finally {
        if (!bytes) readThrough.resolve();
      }
    },
    async write(bytes) {
      touch();
      await stream.write(bytes).catch(async (error: unknown) => {
        await failed();
        throw error;
      });
    },
    async end() {
      stream.endInput().catch(() => {}); // what waits below fails with it
      await stream.inputTaken.catch(failed);
    },
    close() {
      paced.close();
      readThrough.resolve();
    },
  };
}
