/** What comes on a connection while an answer is under way there, also one that Node gives by itself. */
import { type IncomingMessage, type ServerOptions, ServerResponse } from "node:http";
import type { Socket } from "node:net";

/** Requests of a connection that are not answered yet: with more it is closed. They are all served at once. */
const MOST_UNANSWERED = 16;

/**
 * Options of Node's server. Of upgrades those to a WebSocket are taken, but for one that comes while an answer is under way:
 * it would take the connection from that. Others, such as those to HTTP/2 that some clients offer with every request, are
 * ignored.
 */
export function pipelining(): Pick<ServerOptions, "ServerResponse" | "shouldUpgradeCallback"> {
  const unanswered = new WeakMap<Socket, number>();
  const count = (socket: Socket, by: 1 | -1) => {
    const sum = (unanswered.get(socket) ?? 0) + by;
    unanswered.set(socket, sum);
    if (sum > MOST_UNANSWERED) socket.destroy();
  };
  return {
    ServerResponse: class<Request extends IncomingMessage> extends ServerResponse<Request> {
      constructor(...of: ConstructorParameters<typeof ServerResponse<Request>>) {
        super(...of);
        const [{ socket }] = of;
        count(socket, 1);
        this.once("close", () => count(socket, -1));
      }
    },
    shouldUpgradeCallback: ({ headers, socket }) =>
      headers.upgrade?.toLowerCase() === "websocket" && (unanswered.get(socket) ?? 0) === 0,
  };
}
