/**
 * Passes DNS queries of guests on to the host's name servers. Messages go through unread; each UDP query uses a socket
 * of its own, so that answers cannot be guessed or mixed up.
 */
import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import type { Logger } from "@mags/core";

export interface DnsForwarderConfig {
  readonly address: string;
  /** Default 53. */
  readonly port?: number;
  /** Asked anew for each query: the host's resolver may change. */
  readonly servers: () => Promise<readonly string[]>;
  readonly serverPort?: number;
}

const TRY_MS = 2_500;
const MAX_PENDING = 1_000;

export async function startDnsForwarder(
  deps: { readonly log: Logger },
  config: DnsForwarderConfig,
): Promise<AsyncDisposable & { readonly port: number }> {
  const serverPort = config.serverPort ?? 53;
  const udp = createSocket("udp4");
  const pending = new Set<UdpSocket>();
  const connections = new Set<Socket>();

  /** Asks one server. Resolves with its answer, or nothing when it does not answer in time. */
  function ask(server: string, query: Buffer): Promise<Buffer | undefined> {
    return new Promise((resolve) => {
      const socket = createSocket(server.includes(":") ? "udp6" : "udp4");
      pending.add(socket);
      const finish = (answer?: Buffer) => {
        clearTimeout(timer);
        if (pending.delete(socket)) socket.close();
        resolve(answer);
      };
      const timer = setTimeout(finish, TRY_MS);
      socket.on("error", () => finish());
      // The message id must be the query's; the kernel already drops what other addresses send to a connected socket.
      socket.on("message", (answer) => {
        if (answer.length >= 12 && answer.readUInt16BE(0) === query.readUInt16BE(0)) finish(answer);
      });
      socket.connect(serverPort, server, () => socket.send(query));
    });
  }

  udp.on("message", async (query, peer) => {
    if (query.length < 12 || pending.size >= MAX_PENDING) return;
    for (const server of await config.servers()) {
      const answer = await ask(server, query);
      if (!answer) continue;
      udp.send(answer, peer.port, peer.address, () => {}); // a guest that is gone needs no answer
      return;
    }
    deps.log.info("dns.unanswered", { peer: peer.address });
  });

  const tcp = createServer(async (client) => {
    if (connections.size >= MAX_PENDING) return void client.destroy();
    const [server] = await config.servers();
    if (!server) return void client.destroy();
    const upstream = connect(serverPort, server);
    for (const [a, b] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      connections.add(a);
      a.setTimeout(10_000, () => a.destroy());
      a.on("error", () => {});
      a.on("close", () => {
        connections.delete(a);
        b.destroy();
      });
      a.pipe(b);
    }
  });

  udp.bind(config.port ?? 53, config.address);
  await once(udp, "listening");
  tcp.listen(udp.address().port, config.address);
  await once(tcp, "listening");

  return {
    port: udp.address().port,
    async [Symbol.asyncDispose]() {
      udp.close();
      tcp.close();
      for (const socket of pending) socket.close();
      pending.clear();
      for (const socket of connections) socket.destroy();
    },
  };
}
