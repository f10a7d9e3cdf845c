/**
 * What comes on a connection of HTTP/1.1, one after the other: clients may ask again before they are answered. What cannot
 * be read has its turn as well.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { breakOff, isOver } from "./front-response.ts";
import { lastWords } from "./last-words.ts";

export interface Turns {
  /** A request, but for its body. Calls it when those before are answered, unless the connection is over by then. */
  begin(from: IncomingMessage, to: ServerResponse, next: () => void): void;
  /** Something is not answered yet. */
  isBusy(socket: Socket): boolean;
  /** Of a request that cannot be read nobody can say what it was. */
  refuse(error: NodeJS.ErrnoException, socket: Socket): void;
}

interface Line {
  /** That came last. */
  from: IncomingMessage;
  to: ServerResponse;
  /** For their turn. */
  waiting: number;
  /** Of the heads of these. */
  waitingBytes: number;
}

/** Of one connection; with more it is closed. */
const MOST_WAITING = 8;

/** @param most  Of all heads that wait on a connection; with more it is closed. One has to have room. */
export function createTurns(most: { readonly headerBytes: number }): Turns {
  const lines = new WeakMap<Socket, Line>();
  const refused = new WeakSet<Socket>();

  const busyLine = (socket: Socket) => {
    const line = lines.get(socket);
    return line && !isOver(line.to) ? line : undefined;
  };

  /** Calls it when all is answered, unless the connection is over by then. */
  function after(socket: Socket, bytes: number, next: () => void): void {
    const line = busyLine(socket);
    if (!line) return void next();
    line.waiting++;
    line.waitingBytes += bytes;
    if (line.waiting > MOST_WAITING || line.waitingBytes > most.headerBytes) return void socket.destroy();
    line.to.once("close", () => {
      line.waiting--;
      line.waitingBytes -= bytes;
      if (socket.writable) next();
    });
  }

  return {
    isBusy: (socket) => busyLine(socket) !== undefined,
    begin(from, to, next) {
      const { socket } = from;
      // One that waits may have been refused meanwhile.
      after(socket, bytesOf(from), () => void (to.headersSent || next()));
      const line = lines.get(socket);
      if (line) Object.assign(line, { from, to });
      else lines.set(socket, { from, to, waiting: 0, waitingBytes: 0 });
    },
    refuse(error, socket) {
      const line = busyLine(socket);
      const hasLeft = error.code === "ECONNRESET" || (line && error.code === "HPE_INVALID_EOF_STATE");
      if (!socket.writable || hasLeft) return void socket.destroy();
      if (refused.has(socket)) return; // all that follows cannot be read, either
      refused.add(socket);
      const [status, text] = statusOf(error);
      if (!line || line.from.complete) after(socket, 0, () => socket.end(lastWords(status, text)));
      else if (line.to.headersSent) breakOff(line.to);
      else line.to.writeHead(status, text, { connection: "close", "content-length": 0 }).end();
    },
  };
}

const bytesOf = ({ url = "", rawHeaders }: IncomingMessage) =>
  rawHeaders.reduce((bytes, text) => bytes + text.length, url.length);

function statusOf({ code }: NodeJS.ErrnoException): readonly [number, string] {
  if (code === "HPE_HEADER_OVERFLOW") return [431, "Request Header Fields Too Large"];
  return code === "ERR_HTTP_REQUEST_TIMEOUT" ? [408, "Request Timeout"] : [400, "Bad Request"];
}
