/**
 * Serves exports that do not change to clients that nobody trusts: each may be a QEMU that its guest has taken over. What
 * a client can make the server hold is bounded a connection (see limits), and connections are counted.
 */
import { createServer, type Server, type Socket } from "node:net";
import { type Logger, messageOf, silentLogger } from "@mags/core";
import { ProtocolFault } from "../protocol/fault.ts";
import type { NbdExports } from "./export.ts";
import { DEFAULT_LIMITS, type NbdServerLimits } from "./limits.ts";
import { negotiate } from "./negotiation.ts";
import { createPeer } from "./peer.ts";
import { type Served, serveRequests } from "./transmission.ts";

export interface NbdServer extends AsyncDisposable {
  /** Serves who connects there. The listener stays its owner's, who closes it; connections end with this server. */
  serve(listener: Server): void;
  /** As `serve` with a listener of its own: at a path, or on a descriptor that listens already, made by somebody else. */
  listen(at: { readonly path: string } | { readonly fd: number }): Promise<void>;
  /** How many are connected. */
  readonly connections: number;
}

export interface NbdServerDeps {
  readonly exports: NbdExports;
  readonly log?: Logger;
}

/** Dispose ends listening and all connections; calls of `read` that are under way are told by their signal and not awaited. */
export function createNbdServer(deps: NbdServerDeps, options: Partial<NbdServerLimits> = {}): NbdServer {
  const { exports, log = silentLogger } = deps;
  const limits: NbdServerLimits = { ...DEFAULT_LIMITS, ...options };
  const connections = new Map<Socket, Promise<void>>();
  const foreign = new Set<Server>();
  const own = new Set<Server>();
  /** It was told that there are too many: a client may come and go without end. */
  let crowded = false;

  async function serveConnection(socket: Socket): Promise<void> {
    const begunMs = performance.now();
    const served: Served = { requests: 0, readBytes: 0, failed: 0 };
    const peer = createPeer(socket);
    const late = setTimeout(() => socket.destroy(), limits.handshakeMs);
    let name: string | undefined;
    let outcome = "left";
    try {
      const session = await negotiate(peer, exports);
      clearTimeout(late);
      name = session?.name;
      if (session) await serveRequests(peer, session, { limits, log, served });
    } catch (error) {
      outcome = error instanceof ProtocolFault ? `sent ${error.message}` : `ended: ${messageOf(error)}`;
    } finally {
      clearTimeout(late);
      socket.destroy();
      connections.delete(socket);
      log.debug("nbd.connection", {
        export: name,
        outcome,
        durationMs: Math.round(performance.now() - begunMs),
        ...served,
      });
    }
  }

  function onConnection(socket: Socket): void {
    if (connections.size >= limits.maxConnections) {
      socket.destroy();
      if (!crowded) log.warn("nbd.too_many_connections", { connections: connections.size });
      crowded = true;
      return;
    }
    crowded = false;
    connections.set(socket, serveConnection(socket));
  }

  return {
    serve(listener) {
      foreign.add(listener);
      listener.on("connection", onConnection);
    },
    async listen(at) {
      const listener = createServer(onConnection);
      own.add(listener);
      await new Promise<void>((resolve, reject) => {
        listener.once("error", reject);
        listener.listen(at, () => {
          listener.off("error", reject);
          resolve();
        });
      });
    },
    get connections() {
      return connections.size;
    },
    async [Symbol.asyncDispose]() {
      for (const listener of foreign) listener.off("connection", onConnection);
      foreign.clear();
      const closed = [...own].map((listener) => new Promise((resolve) => listener.close(resolve)));
      own.clear();
      const served = [...connections.values()];
      for (const socket of connections.keys()) socket.destroy();
      await Promise.all([...closed, ...served]);
    },
  };
}
