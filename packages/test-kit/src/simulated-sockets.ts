/** Sockets of this machine in place of a guest's. */
import { once } from "node:events";
import { createServer, connect as dial, type Socket } from "node:net";
import { AppError, messageOf } from "@mags/core";
import type { Arrival, GuestAddress, GuestId, GuestListener, GuestSocket, GuestSockets } from "@mags/domain";

const MOST_WAITING = 16;
type Options = { readonly signal: AbortSignal };

/** @param guests  `awaken` throws when there is no such guest. */
export function createSimulatedSockets(guests: { readonly awaken: (guest: GuestId) => void }): GuestSockets {
  return {
    async connect(guest, to, { signal }) {
      guests.awaken(guest);
      const socket = dial({ ...where(to), allowHalfOpen: true });
      try {
        await once(socket, "connect", { signal });
      } catch (error) {
        socket.destroy();
        throw refused("connect", error, signal);
      }
      return over(socket, { isFile: "path" in to, signal });
    },
    async listen(guest, at, options) {
      guests.awaken(guest);
      return await listen(at, options);
    },
  };
}

async function listen(at: GuestAddress, { signal }: Options): Promise<GuestListener> {
  const arrived: Socket[] = [];
  /** Told of, and not accepted. */
  const waiting = new Map<number, Socket>();
  let last = 0;
  let changed = Promise.withResolvers<void>();
  let closed = false;
  const wake = () => {
    changed.resolve();
    changed = Promise.withResolvers();
  };
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
    socket.on("error", () => {});
    arrived.push(socket);
    wake();
  });
  server.listen(where(at));
  try {
    await once(server, "listening", { signal });
  } catch (error) {
    server.close();
    throw refused("listen", error, signal);
  }
  const address = server.address();

  function close(): void {
    closed = true;
    signal.removeEventListener("abort", close);
    server.close();
    for (const socket of [...arrived.splice(0), ...waiting.values()]) socket.destroy();
    waiting.clear();
    wake();
  }
  signal.addEventListener("abort", close, { once: true });

  return {
    port: typeof address === "object" ? (address?.port ?? null) : null,
    async next(): Promise<Arrival | null> {
      while (!closed && (arrived.length === 0 || waiting.size === MOST_WAITING)) await changed.promise;
      signal.throwIfAborted();
      if (closed) throw new AppError("guest_failed", "the stream to the guest was closed");
      const socket = arrived.shift();
      if (!socket) return null;
      const connection = ++last;
      waiting.set(connection, socket);
      const { remoteAddress, remotePort } = socket;
      const peer = remoteAddress && remotePort ? { address: remoteAddress, port: remotePort } : null;
      return { connection, peer };
    },
    async accept(connection) {
      const socket = waiting.get(connection);
      if (!socket) throw new AppError("guest_failed", "no such connection waits in the guest");
      waiting.delete(connection);
      wake();
      return over(socket, { isFile: "path" in at, signal });
    },
    close,
  };
}

function where(address: GuestAddress) {
  if ("path" in address) return { path: address.path };
  const { host, port } = address;
  return { host: ["", "*", "localhost"].includes(host) ? "127.0.0.1" : host, port };
}

function refused(what: string, cause: unknown, signal: AbortSignal): unknown {
  if (signal.aborted) return signal.reason;
  return new AppError("connection_refused", `cannot ${what}: ${messageOf(cause)}`, { cause });
}

function over(socket: Socket, { isFile, signal }: Options & { readonly isFile: boolean }): GuestSocket {
  socket.on("error", () => {}); // whoever reads or writes is told
  const pieces = socket[Symbol.asyncIterator]();
  function close(): void {
    signal.removeEventListener("abort", close);
    if (socket.writableFinished || isFile) socket.destroy();
    else socket.resetAndDestroy();
  }
  signal.addEventListener("abort", close, { once: true });
  return {
    async read() {
      const { value, done } = await pieces.next();
      return done ? null : (value as Buffer);
    },
    write: (bytes) =>
      new Promise((resolve, reject) => socket.write(bytes, (error) => (error ? reject(error) : resolve()))),
    end: () =>
      new Promise((resolve, reject) => {
        if (socket.writableFinished) resolve();
        else if (socket.destroyed) reject(new AppError("guest_failed", "the stream to the guest was closed"));
        else socket.once("close", () => reject(new AppError("guest_failed", "the guest failed"))).end(resolve);
      }),
    close,
  };
}
