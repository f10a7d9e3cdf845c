import type { Socket } from "node:net";

const LINGER_MS = 1_000;

/**
 * Ends a connection of which nobody reads any more, such as one that Node's HTTP server has left to others: what still
 * comes is dropped, so that the other end gets the last words, and a moment later it is closed, whatever the other end
 * does. Errors of the socket are the caller's to listen for.
 * @param lastWords  Latin-1.
 */
export function closeLingering(socket: Socket, lastWords: string = ""): void {
  socket.end(lastWords, "latin1");
  socket.resume();
  const late = setTimeout(() => socket.destroy(), LINGER_MS);
  socket.once("close", () => clearTimeout(late));
}
