/** Input of a streamed command: kept until the command has taken it, sent as far as the server's window allows. */
import { deferred } from "./deferred.ts";
import { clientError } from "./errors.ts";
import type { ExecSocket } from "./exec-socket.ts";

export interface ExecStdin {
  /** Resolves when there is room for more. */
  write(bytes: Buffer): Promise<void>;
  end(): void;
  /** Goes on over this connection. */
  attach(socket: ExecSocket, at: { readonly offset: number; readonly taken: number; readonly window: number }): void;
  detach(): void;
  taken(offset: number): void;
  /** The command is over: nobody waits any more. */
  close(): void;
}

/** Frames of at most this many bytes: one, with its header, fits into one record of the agent protocol. */
const PIECE_BYTES = 63 * 1024;

export function createExecStdin(): ExecStdin {
  let socket: ExecSocket | undefined;
  let pieces: { readonly offset: number; readonly bytes: Buffer }[] = [];
  let written = 0;
  let takenTo = 0;
  let sentTo = 0;
  let windowBytes = 0;
  let ended = false;
  let closed = false;
  let room = deferred<void>();

  function send(): void {
    if (!socket) return;
    for (const { offset, bytes } of pieces) {
      const upTo = Math.min(offset + bytes.length, takenTo + windowBytes);
      while (sentTo < upTo) {
        const next = Math.min(upTo, sentTo + PIECE_BYTES);
        socket.input(sentTo, bytes.subarray(sentTo - offset, next - offset));
        sentTo = next;
      }
    }
    if (ended && sentTo === written) socket.send({ type: "stdin_end", offset: written });
  }

  function taken(offset: number): void {
    takenTo = Math.max(takenTo, offset);
    pieces = pieces.filter((piece) => piece.offset + piece.bytes.length > takenTo);
    room.resolve();
  }

  return {
    async write(bytes) {
      if (ended) throw clientError("invalid_argument", "input after the end of input");
      if (bytes.length === 0 || closed) return;
      pieces.push({ offset: written, bytes });
      written += bytes.length;
      send();
      while (written - takenTo > windowBytes && !closed) {
        room = deferred();
        await room.promise;
      }
    },
    end() {
      if (ended) return;
      ended = true;
      send();
    },
    attach(next, at) {
      socket = next;
      windowBytes = at.window;
      sentTo = at.offset;
      taken(at.taken);
      send();
    },
    detach() {
      socket = undefined;
    },
    taken(offset) {
      taken(offset);
      send();
    },
    close() {
      closed = true;
      socket = undefined;
      room.resolve();
    },
  };
}
