/**
 * A connection as frames of one stream. Its end is said, as the end of a stream is not: of one that was cut it may be
 * there, too, and who reads must not take half a file for a whole one.
 */
import type { GuestSocket } from "@mags/domain";
import { type Pipe, violation } from "./pipe.ts";
import { FRAME } from "./protocol.ts";

const PIECE_BYTES = 64 * 1024;
/** How long the other side may take what was said before one left. */
const LEAVING_MS = 10_000;

export function socketOver(pipe: Pipe): GuestSocket {
  let hasEnded = false;
  let isRead = false;
  return {
    async read() {
      if (isRead) return null;
      const frame = await pipe.frame();
      if (!frame) throw violation("a connection has no end");
      if (frame.type === FRAME.bytes && frame.payload.length <= PIECE_BYTES) return frame.payload;
      if (frame.type !== FRAME.bytesEnd) throw violation("these are no bytes of a connection");
      isRead = true;
      return null;
    },
    async write(bytes) {
      for (let at = 0; at < bytes.length; at += PIECE_BYTES)
        await pipe.writeFrame(FRAME.bytes, bytes.subarray(at, at + PIECE_BYTES));
    },
    async end() {
      hasEnded = true;
      await pipe.writeFrame(FRAME.bytesEnd);
    },
    close() {
      if (!hasEnded) return pipe.cut();
      pipe.leave();
      if (isRead) return;
      const late = setTimeout(() => pipe.cut(), LEAVING_MS).unref();
      pipe.signal.addEventListener("abort", () => clearTimeout(late), { once: true });
    },
  };
}
