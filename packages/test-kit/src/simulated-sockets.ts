import { once } from "node:events";
import { createServer, connect as dial, type Socket } from "node:net";
import type { GuestId, GuestSocket, GuestSockets } from "@mags/domain";

/** Sockets of this machine in place of a guest's. */
export function createSimulatedSockets(deps: { readonly awaken: (guest: GuestId) => void }): GuestSockets {
  return {
    async connect(guest, to) {
      deps.awaken(guest);
      const socket = "path" in to ? dial(to.path) : dial(to.port, to.host);
      await once(socket, "connect");
      return over(socket);
    },
    async listen(guest, at) {
      deps.awaken(guest);
      const arrived: Socket[] = [];
      const taken = new Map<number, Socket>();
      let wake = () => {};
      let closed = false;
      const server = createServer({ allowHalfOpen: true }, (socket) => {
        arrived.push(socket);
        wake();
      });
      if ("path" in at) server.listen(at.path);
      else server.listen(at.port, "127.0.0.1");
      await once(server, "listening");
      const address = server.address();
      return {
        port: typeof address === "object" ? (address?.port ?? null) : null,
        async next() {
          while (arrived.length === 0 && !closed)
            await new Promise<void>((resolve) => {
              wake = resolve;
            });
          const socket = arrived.shift();
          if (!socket) return null;
          const connection = taken.size + 1;
          taken.set(connection, socket);
          return { connection, peer: { address: socket.remoteAddress ?? "", port: socket.remotePort ?? 0 } };
        },
        async accept(connection) {
          const socket = taken.get(connection);
          if (!socket) throw new Error("no such connection");
          return over(socket);
        },
        close() {
          closed = true;
          server.close();
          wake();
        },
      };
    },
  };
}

function over(socket: Socket): GuestSocket {
  const pieces = socket[Symbol.asyncIterator]();
  return {
    async read() {
      const { value, done } = await pieces.next();
      return done ? null : (value as Buffer);
    },
    write: (bytes) =>
      new Promise((resolve, reject) => socket.write(bytes, (error) => (error ? reject(error) : resolve()))),
    end: () => new Promise((resolve) => socket.end(resolve)),
    close: () => void socket.destroy(),
  };
}
