import type { Socket } from "node:net";
import type { FastifyInstance } from "fastify";

/** For requests under way when the server ends; event streams and commands are ended at once. */
const GRACE_MS = 1_000;

/** A server that closes waits no longer for any connection, also of those that Node has left to others. */
export function cutLateConnections(app: FastifyInstance): void {
  const connections = new Set<Socket>();
  app.server.on("connection", (socket) => {
    connections.add(socket);
    socket.once("close", () => connections.delete(socket));
  });
  app.addHook("preClose", async () => {
    const cut = () => {
      for (const socket of connections) socket.destroy();
    };
    setTimeout(cut, GRACE_MS).unref();
  });
}
