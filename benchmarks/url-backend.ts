/** What the proxies of the benchmarks of URLs stand before: bytes as many as are asked for, a place for bytes, and an echo by WebSocket. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { WebSocketServer } from "ws";

const piece = Buffer.alloc(64 * 1024, "bytes as many as are asked for\n");

const server = createServer((request, reply) => {
  if (request.method === "PUT") {
    let bytes = 0;
    request.on("data", (some: Buffer) => {
      bytes += some.length;
    });
    request.on("end", () => reply.end(`${bytes}\n`));
    return;
  }
  let left = Number(new URL(request.url ?? "/", "http://backend").searchParams.get("bytes") ?? 0);
  reply.writeHead(200, { "content-length": left });
  const pour = () => {
    while (left > 0) {
      const some = left < piece.length ? piece.subarray(0, left) : piece;
      left -= some.length;
      if (!reply.write(some)) return void reply.once("drain", pour);
    }
    reply.end();
  };
  pour();
});
const sockets = new WebSocketServer({ server, perMessageDeflate: false, maxPayload: 16 * 1024 * 1024 });
sockets.on("connection", (socket) => {
  socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary }));
});
await once(server.listen(0, "127.0.0.1", 4_096), "listening");
process.stdout.write(`${(server.address() as AddressInfo).port}\n`);
