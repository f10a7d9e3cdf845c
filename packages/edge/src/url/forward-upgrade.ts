/** A WebSocket of a client, opened in a guest: from then on bytes pass both ways until either side ends. */
import { type IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { pipeline } from "node:stream/promises";
import { closeLingering } from "@mags/core";
import { type Answer, askGuest, type Forwarding } from "./ask-guest.ts";
import { passOn } from "./forward-request.ts";
import { pairs, responseHeaders } from "./headers.ts";

export interface Upgrade {
  readonly from: IncomingMessage;
  readonly socket: Socket;
  /** Stops reading. @returns the bytes that have come after the request */
  readonly takeHead: () => Buffer;
  /** To answer it otherwise; the connection ends with the answer. */
  readonly to: ServerResponse;
}

/** All that a client may make of its connection; else its request is one like any other. */
export const isWebSocket = ({ method, headers }: IncomingMessage): boolean =>
  method === "GET" &&
  headers.upgrade?.toLowerCase() === "websocket" &&
  headers["content-length"] === undefined &&
  headers["transfer-encoding"] === undefined;

/** Of a client before it is answered, which has nothing to say by then. */
const MOST_HEAD = 64 * 1024;

export function upgradeOf(from: IncomingMessage, socket: Socket, head: Buffer): Upgrade {
  const to = new ServerResponse(from);
  to.shouldKeepAlive = false;
  to.assignSocket(socket);
  to.once("finish", () => {
    to.detachSocket(socket);
    closeLingering(socket);
  });
  return { from, socket, takeHead: readAhead(socket, head), to };
}

/** Whether a client has left is seen only where somebody reads. */
function readAhead(socket: Socket, head: Buffer): Upgrade["takeHead"] {
  const pieces = [head];
  let bytes = head.length;
  const take = (piece: Buffer) => {
    pieces.push(piece);
    bytes += piece.length;
    if (bytes > MOST_HEAD) socket.destroy();
  };
  const leave = () => void socket.destroy();
  socket.on("data", take).once("end", leave);
  return () => {
    socket.off("data", take).off("end", leave).pause();
    return Buffer.concat(pieces);
  };
}

/** Resolves when it has ended. @throws AppError why there is no answer: the client was told nothing yet. */
export async function forwardUpgrade(upgrade: Upgrade, forwarding: Forwarding): Promise<void> {
  const { from, to, socket } = upgrade;
  const { message, upgraded } = await askGuest(from, to, forwarding, { isUpgrade: true });
  if (!upgraded) return void (await passOn(message, to, forwarding));
  to.detachSocket(socket);
  await join(upgrade, { message, upgraded }, forwarding);
}

const GOODBYE_MS = 5_000;

async function join(
  { socket, takeHead }: Upgrade,
  { message, upgraded: { stream, head: first } }: Required<Answer>,
  { own, traffic }: Forwarding,
): Promise<void> {
  const lines = [...pairs(responseHeaders(message.rawHeaders, own))].map(([name, value]) => `${name}: ${value}\r\n`);
  const status = `HTTP/1.1 101 ${message.statusMessage}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n`;
  socket.setNoDelay(true);
  socket.write(`${status}${lines.join("")}\r\n`, "latin1");
  const head = takeHead();
  const [readBefore, writtenBefore] = [socket.bytesRead, socket.bytesWritten];
  if (first.length > 0) socket.write(first);
  if (head.length > 0) stream.write(head);
  const both = [pipeline(socket, stream), pipeline(stream, socket)];
  await Promise.race(both).catch(() => {});
  // One end has said all: nothing comes of the other that somebody waits for, but for the answer to its goodbye.
  const goodbye = setTimeout(() => stream.destroy(), GOODBYE_MS);
  await Promise.allSettled(both);
  clearTimeout(goodbye);
  stream.destroy();
  socket.destroy();
  traffic.in += head.length + socket.bytesRead - readBefore;
  traffic.out += socket.bytesWritten - writtenBefore;
}
