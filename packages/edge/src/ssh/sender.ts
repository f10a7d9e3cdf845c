/** What is sent on one channel: one piece after the other, each when there is room, as ssh2 mixes up what waits. */
import type { Writable } from "node:stream";
import type { Channel } from "ssh2";
import type { OutputRoom } from "./output-room.ts";
import { dropWritten, forgetWritten } from "./ssh2-inside.ts";

export interface Sender {
  /**
   * Resolves when the client's window and its connection have taken it, or when the client has left. One call at a time.
   * Rejects when the connection has closed.
   */
  send(stream: Writable, bytes: Buffer): Promise<void>;
  /** Nothing is sent any more. */
  leave(): void;
  /** No more output is sent; errors are. */
  dropOutput(): void;
}

export function createSender(channel: Channel, room: OutputRoom): Sender {
  let hasLeft = false;
  let isWanted = true;
  let done = () => {};
  let sending: Writable | null = null;
  return {
    async send(stream, bytes) {
      await room.wait();
      if (hasLeft || (stream === channel && !isWanted)) return;
      await new Promise<void>((resolve) => {
        done = resolve;
        sending = stream;
        stream.write(bytes, () => resolve());
      });
      sending = null;
      forgetWritten(channel);
    },
    dropOutput() {
      isWanted = false;
      if (sending === channel) dropWritten(channel); // which ends its sending
    },
    leave() {
      hasLeft = true;
      done();
    },
  };
}
