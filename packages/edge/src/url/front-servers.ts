/**
 * What clients connect to: HTTP/1.1, and where there are certificates HTTP/1.1 and HTTP/2 over TLS. Owns the listening
 * socket and the connections.
 */
import { once } from "node:events";
import { createServer as createHttp, type IncomingMessage, type ServerResponse } from "node:http";
import {
  createServer as createHttp2,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type ServerHttp2Session,
} from "node:http2";
import type { Server, Socket } from "node:net";
import { createServer as createTls, type TLSSocket, type Server as TlsServer } from "node:tls";
import { closeLingering, type Logger, messageOf, sleep } from "@mags/core";
import { createStrangers } from "../ssh/strangers.ts";
import { hasBody } from "./ask-guest.ts";
import type { CertificateFiles, Certificates } from "./certificates.ts";
import { isWebSocket, upgradeOf } from "./forward-upgrade.ts";
import { gathered } from "./gathered.ts";
import { lastWords } from "./last-words.ts";
import { createTurns } from "./turns.ts";
import type { Visit } from "./visit.ts";

export interface FrontOptions {
  readonly host: string;
  /** 0: one that is free. */
  readonly port: number;
  /** Null: without TLS. */
  readonly certificates: Certificates | null;
  readonly limits: FrontLimits;
  /** Whether an address is of a proxy whose word holds of who its clients are: it may have all connections. */
  readonly isTrusted: (address: string) => boolean;
}

export interface FrontLimits {
  /** Clients' connections at a time. */
  readonly connections: number;
  /** Of the head of a request. */
  readonly headerBytes: number;
  /** For the head of a request to come, and for TLS to be agreed on. */
  readonly headMs: number;
  /** A connection on which nothing passes is closed after so long, unless it is a WebSocket. */
  readonly silentMs: number;
}

export interface FrontServers {
  readonly port: number;
  /** Takes no more connections, and lets answers that are under way end for so long. */
  close(patienceMs: number): Promise<void>;
}

const REST_MS = 60_000;
const CHECK_MS = 1_000;
const GOODBYE_MS = 1_000;
/** Requests of one connection at a time. */
const MOST_STREAMS = 128;
/** Of one connection: a page that is left takes back what it has asked for. Beyond that the connection is closed. */
const MOST_RESETS = 256;
const RESETS_PER_SECOND = 32;

/** Of all connections, what one address, or one /64 network, may have, and what may be asked of one guest at a time. */
export const shareOf = (connections: number): number => Math.ceil(connections / 2);

/** @throws what listening throws */
export async function openFrontServers(
  { take, log }: { readonly take: (visit: Visit) => void; readonly log: Logger },
  { host, port, certificates, limits, isTrusted }: FrontOptions,
): Promise<FrontServers> {
  const sessions = new Set<ServerHttp2Session>();
  const turns = createTurns(limits);
  const of1 = (from: IncomingMessage, to: ServerResponse) =>
    turns.begin(hasBody(from) ? gathered(from) : from, to, () => take({ from, to }));
  const http = createHttp(
    {
      // One that does not wait for the answers before it is not that of a browser.
      shouldUpgradeCallback: (from) => isWebSocket(from) && !turns.isBusy(from.socket),
      ...{ maxHeaderSize: limits.headerBytes, requireHostHeader: false },
      ...{
        headersTimeout: limits.headMs,
        requestTimeout: 0,
        keepAliveTimeout: REST_MS,
        connectionsCheckingInterval: CHECK_MS,
      },
    },
    of1,
  );
  http.timeout = limits.silentMs;
  http.on("checkContinue", of1).on("checkExpectation", of1);
  http.on("upgrade", (from: IncomingMessage, socket: Socket, head: Buffer) => {
    socket.setTimeout(0);
    socket.on("error", () => {}); // its end follows
    const upgrade = upgradeOf(from, socket, head);
    take({ ...upgrade, upgrade });
  });
  http.on("connect", (_from, socket: Socket) => {
    socket.on("error", () => {}); // its end follows
    if (turns.isBusy(socket)) socket.destroy();
    else closeLingering(socket, lastWords(405, "Method Not Allowed"));
  });
  http.on("clientError", turns.refuse);

  const http2 = createHttp2({
    strictSingleValueFields: false,
    ...{ maxHeaderListPairs: 256, streamResetBurst: MOST_RESETS, streamResetRate: RESETS_PER_SECOND },
    settings: { maxConcurrentStreams: MOST_STREAMS, maxHeaderListSize: limits.headerBytes, enablePush: false },
  });
  const of2 = (from: Http2ServerRequest, to: Http2ServerResponse) => {
    if (hasBody(from)) for (const body of [from.stream, from]) gathered(body);
    take({ from, to });
  };
  http2.on("request", of2).on("checkContinue", of2);
  http2.on("session", (session) => {
    sessions.add(session);
    session.on("error", () => {}); // its end follows
    session.setTimeout(limits.silentMs, () => endSilent(session));
    session.once("close", () => sessions.delete(session));
  });

  const over = (socket: TLSSocket) => (socket.alpnProtocol === "h2" ? http2 : http).emit("connection", socket);
  const front: Server = certificates ? createTlsFront(certificates, limits).on("secureConnection", over) : http;
  // One that is handed its connections watches them as if it listened: heads that do not come, and what is idle.
  if (front !== http) http.emit("listening");
  const sockets = new Set<Socket>();
  const addresses = createStrangers(shareOf(limits.connections));
  front.prependListener("connection", (socket: Socket) => {
    socket.setKeepAlive(true, REST_MS); // a WebSocket may be silent as long as its client is there
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    const { remoteAddress = "" } = socket;
    if (isTrusted(remoteAddress.replace(/^::ffff:/, ""))) return;
    const leave = addresses.take(remoteAddress);
    if (leave) socket.once("close", leave);
    else socket.destroy();
  });
  front.maxConnections = limits.connections;
  front.listen({ host, port });
  await once(front, "listening");
  front.on("error", (error) => log.error("url.accept_failed", { error: messageOf(error) }));
  return {
    port: (front.address() as { readonly port: number }).port,
    async close(patienceMs) {
      const closed = once(front, "close");
      front.close();
      if (front !== http) http.close();
      http.maxRequestsPerSocket = 1; // what is answered from now on is the last on its connection
      http.closeIdleConnections();
      for (const session of sessions) session.close();
      const patience = new AbortController();
      await Promise.race([closed, sleep(patienceMs, { signal: patience.signal }).catch(() => {})]);
      patience.abort();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

/** It is told, and what is under way there, of which nothing passes, is given up a moment later. */
function endSilent(session: ServerHttp2Session): void {
  session.close();
  const timer = setTimeout(() => session.destroy(), GOODBYE_MS);
  session.once("close", () => clearTimeout(timer));
}

function createTlsFront(certificates: Certificates, { headMs }: FrontLimits): TlsServer {
  const optionsOf = (first: CertificateFiles | null) => ({
    ...(first && { cert: first.certificate, key: first.key }),
    minVersion: "TLSv1.2" as const,
  });
  const front = createTls({
    ...{ ...optionsOf(certificates.first), ALPNProtocols: ["h2", "http/1.1"], handshakeTimeout: headMs },
    SNICallback: certificates.choose,
  });
  certificates.onReplaced(() => front.setSecureContext(optionsOf(certificates.first)));
  return front.on("tlsClientError", (_error, socket) => void socket.destroy());
}
