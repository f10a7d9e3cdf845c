/**
 * Room in a client's connection. An SSH window is what a client promises to take, which may be gigabytes: what is written
 * waits for the socket, and for the end of a key exchange, too. Where answers pile up nothing more is read. So a client
 * which stalls costs its share and no more.
 */
import type { Socket } from "node:net";
import type { Connection } from "ssh2";
import type { Mended } from "./ssh2-inside.ts";

const MOST_BYTES = 1024 * 1024;
/** That wait at once. A client that has more does not want answers. */
const MOST_ANSWERS = 10_000;

export interface OutputRoom {
  /** Resolves when something may be written. Rejects when the connection has closed. */
  wait(): Promise<void>;
}

export function createOutputRoom(
  client: Connection,
  socket: Socket,
  mended: Pick<Mended, "heldPackets" | "unanswered">,
): OutputRoom {
  let waiting: PromiseWithResolvers<void> | undefined;
  const isFull = () => mended.heldPackets() !== undefined || socket.writableLength >= MOST_BYTES;
  function wake(): void {
    waiting?.resolve();
    waiting = undefined;
  }
  client.on("handshake", wake);
  socket.on("data", () => {
    if ((mended.heldPackets() ?? 0) + mended.unanswered() > MOST_ANSWERS) socket.destroy();
    else if (socket.writableLength > 2 * MOST_BYTES) socket.pause();
  });
  socket.on("drain", () => {
    socket.resume();
    wake();
  });
  socket.on("close", () => waiting?.reject(new Error("the connection has closed")));
  return {
    async wait() {
      while (isFull()) {
        if (socket.destroyed) break;
        waiting ??= Promise.withResolvers();
        await waiting.promise;
      }
      if (socket.destroyed) throw new Error("the connection has closed");
    },
  };
}
