/**
 * WebSockets on the routes of the API. A request to upgrade passes through the same hooks, checks and error replies as any
 * other; only when its handler has agreed does the connection change its protocol.
 */
import { type IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { execs } from "@mags/api-schema";
import { AppError, type Clock, closeLingering, type Logger } from "@mags/core";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { type WebSocket, WebSocketServer } from "ws";
import { errorFields } from "./errors.ts";

const GOING_AWAY = 1001;
const INTERNAL_ERROR = 1011;
/** For the other end to answer a close. */
const CLOSE_MS = 1_000;

/** What a handler gives to go on over a WebSocket. */
export class Conversation {
  readonly hold: (socket: WebSocket, options: { readonly signal: AbortSignal }) => Promise<void>;

  /** Called instead of `hold` when the connection ended before. */
  readonly abandon: () => void;

  /** @param hold  Resolves when the conversation is over, closed or not. `signal` aborts when the server ends. */
  constructor(hold: Conversation["hold"], abandon: Conversation["abandon"] = () => {}) {
    this.hold = hold;
    this.abandon = abandon;
  }
}

export interface WebSockets {
  /** @throws AppError `validation_failed` or `forbidden` when it cannot become a WebSocket of that protocol. */
  check(request: IncomingMessage, protocol: string): void;
  begin(request: FastifyRequest, reply: FastifyReply, conversation: Conversation): void;
}

export interface WebSocketDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly closing: AbortSignal;
}

/** @param options `origins`: whose pages may connect, besides those of the server's own address. */
export function acceptWebSockets(
  app: FastifyInstance,
  { clock, log, closing }: WebSocketDeps,
  { origins }: { readonly origins: readonly string[] },
): WebSockets {
  const upgrades = new WeakMap<IncomingMessage, { readonly socket: Socket; readonly head: Buffer }>();
  const server = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload: execs.MAX_EXEC_MESSAGE_BYTES,
  });

  app.server.on("upgrade", (request, socket: Socket, head) => {
    socket.on("error", () => socket.destroy());
    const response = new ServerResponse(request);
    response.shouldKeepAlive = false;
    try {
      response.assignSocket(socket);
    } catch {
      return void socket.destroy(); // an answer before this one has it still
    }
    response.on("finish", () => closeLingering(socket));
    upgrades.set(request, { socket, head });
    app.routing(request, response);
  });

  return {
    check(request, protocol) {
      const { origin, host } = request.headers;
      if (!upgrades.has(request))
        throw new AppError("validation_failed", "this is a WebSocket: connect with the header Upgrade: websocket");
      const offered = (request.headers["sec-websocket-protocol"] ?? "").split(",").map((name) => name.trim());
      if (!offered.includes(protocol))
        throw new AppError("validation_failed", `Sec-WebSocket-Protocol must offer ${protocol}`);
      if (origin !== undefined && !origins.includes(origin) && hostOf(origin) !== host)
        throw new AppError("forbidden", `pages of ${origin} may not connect: see cors_origins of the configuration`);
    },

    begin(request, reply, conversation) {
      const upgrade = upgrades.get(request.raw);
      if (!upgrade) throw new Error("a conversation without an upgrade");
      const { socket, head } = upgrade;
      reply.hijack();
      reply.raw.detachSocket(socket);
      const startedMs = clock.monotonicMs();
      let begun = false;
      server.handleUpgrade(request.raw, socket, head, (webSocket) => {
        begun = true;
        void hold(webSocket, conversation).then((error) =>
          log.info("http.web_socket", {
            ...{ requestId: request.id, route: request.routeOptions.url, accountId: request.account?.id },
            ...{ durationMs: Math.round(clock.monotonicMs() - startedMs), ...error },
          }),
        );
      });
      if (!begun) conversation.abandon();
    },
  };

  async function hold(webSocket: WebSocket, conversation: Conversation): Promise<object> {
    webSocket.on("error", () => {}); // its close follows
    const leave = () => close(webSocket, GOING_AWAY, "the server is shutting down");
    closing.addEventListener("abort", leave);
    if (closing.aborted) leave();
    try {
      await conversation.hold(webSocket, { signal: closing });
      return {};
    } catch (error) {
      close(webSocket, INTERNAL_ERROR, "something went wrong in the server");
      return errorFields(error);
    } finally {
      closing.removeEventListener("abort", leave);
    }
  }
}

/** Closes, and cuts the connection where the other end does not answer. */
export function close(webSocket: WebSocket, code: number, reason: string): void {
  webSocket.close(code, reason);
  const timer = setTimeout(() => webSocket.terminate(), CLOSE_MS);
  webSocket.once("close", () => clearTimeout(timer));
}

function hostOf(origin: string): string | undefined {
  return URL.canParse(origin) ? new URL(origin).host : undefined;
}
