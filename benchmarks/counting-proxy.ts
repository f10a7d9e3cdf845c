/** Passes HTTP on, and counts what goes through: so that everybody's requests are counted alike. */
import { once } from "node:events";
import { Agent, createServer, request } from "node:http";
import type { AddressInfo } from "node:net";
import { pipeline } from "node:stream/promises";

export interface Traffic {
  readonly puts: number;
  readonly gets: number;
  readonly others: number;
  readonly sentBytes: number;
  readonly receivedBytes: number;
}

export interface CountingProxy extends AsyncDisposable {
  readonly url: string;
  /** What went through since the last call. */
  take(): Traffic;
}

const NOTHING: Traffic = { puts: 0, gets: 0, others: 0, sentBytes: 0, receivedBytes: 0 };

/** Requests are passed on as they are: what was signed for this proxy's address stays valid. */
export async function startCountingProxy(target: string): Promise<CountingProxy> {
  const { hostname, port } = new URL(target);
  const agent = new Agent({ keepAlive: true });
  let seen: Traffic = NOTHING;

  const server = createServer((incoming, outgoing) => {
    const { method = "GET", url: path, rawHeaders } = incoming;
    // POST begins and ends uploads in parts: S3 counts it as a put.
    if (method === "PUT" || method === "POST") seen = { ...seen, puts: seen.puts + 1 };
    else if (method === "GET") seen = { ...seen, gets: seen.gets + 1 };
    else seen = { ...seen, others: seen.others + 1 };
    incoming.on("data", (piece: Buffer) => {
      seen = { ...seen, sentBytes: seen.sentBytes + piece.length };
    });
    const passed = request({ agent, hostname, port, method, path, headers: rawHeaders }, (reply) => {
      outgoing.writeHead(reply.statusCode ?? 502, reply.rawHeaders);
      reply.on("data", (piece: Buffer) => {
        seen = { ...seen, receivedBytes: seen.receivedBytes + piece.length };
      });
      pipeline(reply, outgoing).catch(() => outgoing.destroy());
    });
    passed.on("error", () => outgoing.destroy());
    pipeline(incoming, passed).catch(() => passed.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    take() {
      const taken = seen;
      seen = NOTHING;
      return taken;
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      agent.destroy();
    },
  };
}
