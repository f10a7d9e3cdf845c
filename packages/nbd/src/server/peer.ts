import type { Socket } from "node:net";
import { type ByteReader, createByteReader } from "../protocol/byte-reader.ts";

/** The client of one connection, as the steps of serving it see it. */
export interface Peer {
  readonly reader: ByteReader;
  /** Sends in one piece. Resolves when the kernel has taken it all, or the connection is gone. */
  send(parts: readonly Buffer[]): Promise<void>;
  /** Aborted when the connection is gone. */
  readonly gone: AbortSignal;
}

export function createPeer(socket: Socket): Peer {
  const gone = new AbortController();
  socket.on("error", () => {}); // "close" follows and is what counts
  socket.once("close", () => gone.abort(new Error("the client has gone")));
  return {
    reader: createByteReader(socket),
    gone: gone.signal,
    send(parts) {
      return new Promise((resolve) => {
        socket.cork();
        parts.forEach((part, index) => {
          if (index < parts.length - 1) socket.write(part);
          else socket.write(part, () => resolve());
        });
        socket.uncork();
      });
    },
  };
}
