/** A guest's web server, and what forwards to it, in one process. */
import { once } from "node:events";
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { isAppError } from "@mags/core";
import { newJobId } from "@mags/domain";
import { createSimulatedSockets } from "@mags/test-kit";
import type { Forwarding } from "../src/url/ask-guest.ts";
import { forwardRequest } from "../src/url/forward-request.ts";
import { forwardUpgrade, isWebSocket, responseTo } from "../src/url/forward-upgrade.ts";
import { GuestAgent } from "../src/url/guest-agent.ts";

export interface UrlFront extends AsyncDisposable {
  readonly port: number;
  /** How many connections the guest has taken. */
  readonly dialled: number;
}

export const listening = async (server: Server) => {
  await once(server.listen(0, "127.0.0.1"), "listening");
  return (server.address() as AddressInfo).port;
};

/** In front of what listens on that port of this machine. */
export async function startUrlFront(port: number, { answerMs = 10_000 } = {}): Promise<UrlFront> {
  const sockets = createSimulatedSockets({ awaken: () => {} });
  const ending = new AbortController();
  let dialled = 0;
  const agent = new GuestAgent((to) => {
    dialled++;
    return sockets.connect(to.guest, { host: "127.0.0.1", port: to.port }, { signal: ending.signal });
  });
  const place = { guest: newJobId(), port };
  const forwardingOf = ({ headers }: IncomingMessage): Forwarding => ({
    ...{ agent, place, own: new Set(["mags-access"]), answerMs },
    client: { address: "192.0.2.7", scheme: "http", authority: headers.host ?? "", port: 80, trusted: false },
  });
  const refuse = (to: ServerResponse) => (error: unknown) => {
    if (!isAppError(error)) throw error;
    to.writeHead(error.status).end(error.message);
  };
  const listener: RequestListener = (from, to) => void forwardRequest(from, to, forwardingOf(from)).catch(refuse(to));
  const server = createServer({ shouldUpgradeCallback: isWebSocket }, listener).on("checkContinue", listener);
  server.on("upgrade", (from: IncomingMessage, socket: Socket, head: Buffer) => {
    const upgrade = { from, socket, head };
    const to = responseTo(upgrade);
    forwardUpgrade(upgrade, to, forwardingOf(from)).catch(refuse(to));
  });
  const front = await listening(server);
  return {
    port: front,
    get dialled() {
      return dialled;
    },
    async [Symbol.asyncDispose]() {
      agent.destroy();
      ending.abort();
      server.closeAllConnections();
      await once(server.close(), "close");
    },
  };
}

/** Says it on a connection of its own, and resolves with all that comes back until that is closed. */
export async function say(port: number, ...texts: readonly string[]): Promise<string> {
  const socket = connect(port, "127.0.0.1").on("error", () => {});
  let heard = "";
  socket.on("data", (bytes) => {
    heard += bytes.toString("latin1");
  });
  for (const text of texts) socket.write(text, "latin1");
  await once(socket, "close");
  return heard;
}
