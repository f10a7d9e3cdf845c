/**
 * Serves edges that run apart. Owns the listening socket, the connections of edges, and what was begun for them: commands
 * are hung up and connections closed when their edge is gone. Whoever does not have the secret gets no further than TLS.
 */
import { once } from "node:events";
import {
  createSecureServer,
  createServer,
  type Http2SecureServer,
  type Http2Server,
  type ServerHttp2Session,
} from "node:http2";
import type { Socket } from "node:net";
import { AppError, type Logger, messageOf, sleep } from "@mags/core";
import { groupOf } from "../ssh/strangers.ts";
import type { EdgeUpstream } from "../upstream.ts";
import { createDoubtfulAccesses } from "./doubtful-accesses.ts";
import { createEdgeState, type EdgeState } from "./edge-state.ts";
import { createOpenConnections } from "./open-connections.ts";
import { MOST_CALLS_IN_ALL } from "./protocol.ts";
import { createRefusalLog } from "./refusal-log.ts";
import { serveCall } from "./server-call.ts";
import { createTaken } from "./taken.ts";
import { createTickets } from "./tickets.ts";
import {
  attend,
  type EdgePlace,
  HANDSHAKE_MS,
  IDENTITY,
  keyOf,
  PINGING,
  type Pinging,
  SESSION,
  TLS,
} from "./transport.ts";

export type EdgeServerOptions = EdgePlace & { readonly pinging?: Pinging };

export interface EdgeServer extends AsyncDisposable {
  /** 0: it has a path. */
  readonly port: number;
  /** Addresses of the edges that are connected. */
  edges(): readonly string[];
}

const MOST_EDGES = 64;
/** Connections that have not shown that they have the secret; a further one takes the place of the oldest of the address with the most. */
const MOST_STRANGERS = 64;
/** An edge that does not come back in that time has died, with its clients. */
const GRACE_MS = { here: 2_000, elsewhere: 60_000 };
/** For calls to be ended, and for edges to hear of it. */
const GOODBYE_MS = 2_000;
const LAST_WORDS_MS = 300;

/** @throws what listening throws, and AppError `validation_failed` for a bad secret. */
export async function startEdgeServer(
  deps: { readonly upstream: EdgeUpstream; readonly log: Logger },
  options: EdgeServerOptions,
): Promise<EdgeServer> {
  const { upstream, log } = deps;
  const ending = new AbortController();
  const strangers = new Map<string, Socket>();
  const edges = new Map<ServerHttp2Session, { readonly state: EdgeState; readonly socket: Socket }>();
  const calls = new Set<Promise<void>>();
  const tickets = createTickets();
  const refusals = createRefusalLog(log, "edge.refused");
  const refusedAccesses = createRefusalLog(log, "edge.access_refused");
  const taken = createTaken();
  const doubtful = createDoubtfulAccesses({ refused: refusedAccesses, log, signal: ending.signal });
  const graceMs = "path" in options ? GRACE_MS.here : GRACE_MS.elsewhere;
  // Without SSH nobody notes anything.
  const open = createOpenConnections(upstream.directory ?? { note() {} }, { graceMs });
  const clock = { nowMs: () => performance.now() };

  const server = serverFor(options);
  server.on("connection", (socket: Socket) => {
    if ("path" in options) return;
    const name = nameOf(socket);
    socket.setNoDelay(true);
    strangers.set(name, socket);
    socket.once("close", () => strangers.delete(name));
    if (strangers.size > MOST_STRANGERS) oldestOfMost([...strangers.values()])?.destroy();
  });
  server.on("secureConnection", (socket) => strangers.delete(nameOf(socket)));
  server.on("tlsClientError", (error, socket) => {
    refusals.note({ address: socket.remoteAddress, error: (error as NodeJS.ErrnoException).code });
  });
  // Its session begins with it, at once.
  let arriving: Socket | undefined;
  server.prependListener("path" in options ? "connection" : "secureConnection", (socket: Socket) => {
    arriving = socket;
  });
  server.on("session", (session) => {
    const socket = arriving;
    session.on("error", () => {}); // its end follows
    if (!socket || edges.size >= MOST_EDGES || ending.signal.aborted) return session.destroy();
    const address = socket.remoteAddress ?? "this machine";
    edges.set(session, { state: createEdgeState(address, clock), socket });
    attend(session, socket, options.pinging ?? PINGING);
    log.info("edge.connected", { address });
    session.once("close", () => {
      edges.delete(session);
      log.info("edge.gone", { address });
    });
  });
  server.on("stream", (stream, headers) => {
    const edge = stream.session && edges.get(stream.session as ServerHttp2Session);
    if (!edge) return stream.close();
    const onHello = (name: string) => {
      if (edge.state.name !== null || stream.session?.closed !== false) return;
      edge.state.name = name;
      stream.session.once("close", open.arrived(name));
    };
    const call = serveCall(stream, headers, {
      ...{ upstream, edge: edge.state, tickets, open, taken, doubtful, onHello, log, ending: ending.signal },
    });
    calls.add(call);
    void call.then(() => calls.delete(call));
  });

  server.listen(options);
  await once(server, "listening");
  // One connection could not be taken; others can be.
  server.on("error", (error) => log.error("edge.not_taken", { error: messageOf(error) }));
  const address = server.address();
  const port = typeof address === "object" ? (address?.port ?? 0) : 0;
  return {
    port,
    edges: () => [...edges.values()].map(({ state }) => state.address),
    async [Symbol.asyncDispose]() {
      const closed = once(server, "close");
      ending.abort(new AppError("unavailable", "the server is ending"));
      refusals[Symbol.dispose]();
      open[Symbol.dispose]();
      server.close();
      for (const socket of strangers.values()) socket.destroy();
      // Those that wait for a guest to start may take longer; they find their edge gone.
      const patience = new AbortController();
      await Promise.race([Promise.all(calls).then(doubtful.settled), sleep(GOODBYE_MS, patience).catch(() => {})]);
      patience.abort();
      refusedAccesses[Symbol.dispose]();
      for (const session of edges.keys()) session.close();
      const late = setTimeout(() => {
        for (const { socket } of edges.values()) socket.destroy();
      }, LAST_WORDS_MS);
      await closed;
      clearTimeout(late);
    },
  };
}

function serverFor(place: EdgePlace): Http2Server | Http2SecureServer {
  const session = { ...SESSION, settings: { ...SESSION.settings, maxConcurrentStreams: MOST_CALLS_IN_ALL } };
  if ("path" in place) return createServer(session);
  const key = keyOf(place.secret);
  return createSecureServer({
    ...{ ...TLS, ...session, handshakeTimeout: HANDSHAKE_MS },
    pskCallback: (_socket, identity) => (identity === IDENTITY ? key : null),
  });
}

function oldestOfMost(sockets: readonly Socket[]): Socket | undefined {
  const byAddress = [...Map.groupBy(sockets, ({ remoteAddress }) => groupOf(remoteAddress ?? "")).values()];
  return byAddress.sort((one, other) => other.length - one.length)[0]?.[0];
}

const nameOf = ({ remoteAddress, remotePort }: Socket) => `${remoteAddress} ${remotePort}`;
