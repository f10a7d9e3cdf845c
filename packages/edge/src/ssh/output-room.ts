/**
 * Room in a client's connection. An SSH window is what a client promises to take, which may be gigabytes: what is written
 * waits for the socket, too, so that a client which stalls costs its share and no more.
 */
import type { Socket } from "node:net";

const MOST_BYTES = 1024 * 1024;

export interface OutputRoom {
  /** Resolves when something may be written. Rejects when the connection has closed. */
  wait(): Promise<void>;
}

export function createOutputRoom(socket: Socket): OutputRoom {
  let waiting: PromiseWithResolvers<void> | undefined;
  socket.on("drain", () => {
    waiting?.resolve();
    waiting = undefined;
  });
  socket.on("close", () => waiting?.reject(new Error("the connection has closed")));
  return {
    async wait() {
      if (socket.destroyed) throw new Error("the connection has closed");
      if (socket.writableLength < MOST_BYTES) return;
      waiting ??= Promise.withResolvers();
      await waiting.promise;
    },
  };
}
