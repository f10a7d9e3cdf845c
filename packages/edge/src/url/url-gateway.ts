/**
 * The web servers of guests, on the web. Owns the listening socket, the connections of clients and those to guests; where
 * a host leads, and who may go there, is the business of the directory.
 */
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { AppError, type Logger, messageOf, sleep } from "@mags/core";
import type { GuestSockets, UrlDirectory } from "@mags/domain";
import { dialGuest } from "./dial.ts";
import { replyFailure } from "./failure-reply.ts";
import { isWebSocket, upgradeOf } from "./forward-upgrade.ts";
import { GuestAgent } from "./guest-agent.ts";
import { createRoutes } from "./routes.ts";
import { serveVisit, type Visit, type VisitDeps } from "./visit.ts";

export interface UrlGatewayOptions {
  readonly host: string;
  /** 0: one that is free. */
  readonly port: number;
  readonly limits: UrlLimits;
  /** Whether an address is of a proxy whose word holds of who its clients are. */
  readonly isTrusted: (address: string) => boolean;
}

export interface UrlLimits {
  /** Clients' connections at a time. */
  readonly connections: number;
  /** Of a request, and of an answer. */
  readonly headerBytes: number;
  /** For the head of a request to come. */
  readonly headMs: number;
  /** A connection on which nothing passes is closed after so long, unless it is a WebSocket. */
  readonly silentMs: number;
  /** For a guest to wake, and its server to listen. */
  readonly wakeMs: number;
  /** For the head of a guest's answer. */
  readonly answerMs: number;
}

/** Disposing of it lets answers that are under way end for a moment. */
export interface UrlGateway extends AsyncDisposable {
  readonly port: number;
}

const REST_MS = 60_000;
const CHECK_MS = 1_000;
const GOODBYE_MS = 2_000;

/** @throws what listening throws */
export async function startUrlGateway(
  {
    directory,
    node,
    log,
  }: { readonly directory: UrlDirectory; readonly node: Pick<GuestSockets, "connect">; readonly log: Logger },
  { host, port, limits, isTrusted }: UrlGatewayOptions,
): Promise<UrlGateway> {
  const ending = new AbortController();
  const clock = { nowMs: () => performance.now() };
  const dialing = { node, clock, wakeMs: limits.wakeMs, signal: ending.signal };
  const agent = new GuestAgent((place) => dialGuest(place, dialing));
  const deps: VisitDeps = {
    ...{ agent, clock, limits, isTrusted, note: (access) => directory.note(access) },
    routes: createRoutes(directory, { clock, signal: ending.signal }),
  };
  async function take(visit: Visit): Promise<void> {
    try {
      await serveVisit(deps, visit);
    } catch (error) {
      log.error("url.failed", { error: messageOf(error) });
      replyFailure(visit.from, visit.to, new AppError("internal", "something went wrong at the gateway"));
    }
  }
  const serve = (from: IncomingMessage, to: ServerResponse) => void take({ from, to });

  const server = createServer(
    {
      ...{ shouldUpgradeCallback: isWebSocket, maxHeaderSize: limits.headerBytes, requireHostHeader: false },
      ...{
        headersTimeout: limits.headMs,
        requestTimeout: 0,
        keepAliveTimeout: REST_MS,
        connectionsCheckingInterval: CHECK_MS,
      },
    },
    serve,
  );
  server.timeout = limits.silentMs;
  server.maxConnections = limits.connections;
  server.on("checkContinue", serve);
  server.on("checkExpectation", serve);
  server.on("upgrade", (from: IncomingMessage, socket: Socket, head: Buffer) => {
    socket.setTimeout(0);
    socket.on("error", () => {}); // its end follows
    const upgrade = upgradeOf(from, socket, head);
    void take({ ...upgrade, upgrade });
  });
  server.on("connect", (_from, socket) =>
    socket.end("HTTP/1.1 405 Method Not Allowed\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"),
  );
  server.on("clientError", refuse);
  server.listen({ host, port });
  await once(server, "listening");
  server.on("error", (error) => log.error("url.accept_failed", { error: messageOf(error) }));
  let closing: Promise<void> | undefined;
  async function close(): Promise<void> {
    const closed = once(server, "close");
    server.close();
    server.closeIdleConnections();
    const patience = new AbortController();
    await Promise.race([closed, sleep(GOODBYE_MS, { signal: patience.signal }).catch(() => {})]);
    patience.abort();
    ending.abort(new AppError("unavailable", "the gateway is ending"));
    server.closeAllConnections();
    agent.destroy();
    await closed;
  }
  return {
    port: (server.address() as { readonly port: number }).port,
    [Symbol.asyncDispose]() {
      closing ??= close();
      return closing;
    },
  };
}

/** Of a request that cannot be read nobody can say what it was. */
function refuse(error: NodeJS.ErrnoException, socket: Socket): void {
  if (!socket.writable || error.code === "ECONNRESET") return void socket.destroy();
  const status =
    error.code === "HPE_HEADER_OVERFLOW"
      ? "431 Request Header Fields Too Large"
      : error.code === "ERR_HTTP_REQUEST_TIMEOUT"
        ? "408 Request Timeout"
        : "400 Bad Request";
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
}
