/** The server of edges, on a thread of its own, in front of commands and sockets of this machine. */
import { once } from "node:events";
import { createServer } from "node:net";
import { parentPort, workerData } from "node:worker_threads";
import { Secret, silentLogger } from "@mags/core";
import { startEdgeServer } from "@mags/edge";
import { createSimulatedExecs, createSimulatedSockets } from "@mags/test-kit";

const { secret, guest, accountId, bytes } = workerData;
const piece = Buffer.alloc(64 * 1024, "an edge apart\n");

const listening = async (server: ReturnType<typeof createServer>) => {
  await once(server.listen(0, "127.0.0.1"), "listening");
  return (server.address() as { port: number }).port;
};
const source = createServer((socket) => {
  let left = bytes;
  const pour = () => {
    while (left > 0) {
      left -= piece.length;
      if (!socket.write(piece)) return void socket.once("drain", pour);
    }
    socket.end();
  };
  socket.on("error", () => {});
  pour();
});
/** Ends its direction when all has come. */
const sink = createServer({ allowHalfOpen: true }, (socket) => {
  socket.on("error", () => {}).on("end", () => socket.end());
  socket.resume();
});

const guests = { awaken: () => {} };
const user = {
  ...{ accountId, keyName: "bench", fingerprint: "SHA256:x" },
  ...{ target: "box", jobId: null, refusal: null },
};
const { port } = await startEdgeServer(
  {
    log: silentLogger,
    upstream: {
      node: Object.assign(createSimulatedExecs(guests), createSimulatedSockets(guests)),
      urls: null,
      directory: {
        hostKey: async () => new Secret("none"),
        find: async () => user,
        guest: async () => guest,
        untilOver: () => new Promise(() => {}),
        note() {},
        watchPorts: () => () => {},
      },
    },
  },
  { host: "127.0.0.1", port: 0, secret: new Secret(secret) },
);
parentPort?.postMessage({ port, source: await listening(source), sink: await listening(sink) });
