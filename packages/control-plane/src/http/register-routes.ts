import { isDeepStrictEqual } from "node:util";
import type { RouteDefinition } from "@mags/api-schema";
import { type Clock, isAppError, type Logger } from "@mags/core";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { Account } from "../app/account-store.ts";
import type { Accounts } from "../app/accounts.ts";
import { authenticate } from "./authenticate.ts";
import { errorFields } from "./errors.ts";
import type { BoundRoute, RouteInput } from "./route.ts";
import { Streamed, sendStream } from "./streamed.ts";
import { acceptUploads, discardRest, uploadOf } from "./upload.ts";
import { parsePart } from "./validation.ts";
import { Conversation, type WebSockets } from "./web-socket.ts";

/** The second is an alias that later clients use. */
const PREFIXES = ["/api/v1", "/api/v2"];

declare module "fastify" {
  interface FastifyRequest {
    /** Set before the handler of every route that needs an account. */
    account: Account | null;
  }
  interface FastifyContextConfig {
    /** The route reads its body itself. */
    upload?: boolean;
  }
}

export interface RegisterDeps {
  readonly accounts: Accounts;
  readonly clock: Clock;
  readonly log: Logger;
  /** Aborts when the server shuts down. */
  readonly closing: AbortSignal;
  /** Refuse to send what the schemas do not say. For tests. */
  readonly checkResponses: boolean;
  readonly webSockets: WebSockets;
}

export function registerRoutes(app: FastifyInstance, routes: readonly BoundRoute[], deps: RegisterDeps): void {
  app.decorateRequest("account", null);
  const register = (scope: FastifyInstance, upload: boolean) => {
    for (const prefix of PREFIXES)
      for (const route of routes)
        if ((route.definition.upload !== undefined) === upload) registerRoute(scope, route, { ...deps, prefix });
  };
  register(app, false);
  app.register(async (scope) => {
    await acceptUploads(scope);
    register(scope, true);
  });
}

function registerRoute(
  app: FastifyInstance,
  route: BoundRoute,
  deps: RegisterDeps & { readonly prefix: string },
): void {
  const { definition, handler } = route;
  const [status] = Object.keys(definition.responses).map(Number);
  app.route({
    method: definition.method,
    url: deps.prefix + definition.path.replaceAll(/\{(\w+)\}/g, ":$1"),
    config: { upload: definition.upload !== undefined },
    // Before the body is read: nobody without a token makes the server read 8 MiB.
    async onRequest(request) {
      if (definition.auth === "account")
        request.account = await authenticate(deps.accounts, request.headers.authorization);
      if (definition.webSocket) deps.webSockets.check(request.raw, definition.webSocket);
    },
    async handler(request, reply) {
      const body = await handler(inputOf(definition, request, reply, deps)).finally(() => {
        if (definition.upload) discardRest(request.raw);
      });
      if (body instanceof Conversation) return deps.webSockets.begin(request, reply, body);
      if (body instanceof Streamed) return streamReply(request, reply, body, deps);
      if (deps.checkResponses) checkResponse(definition, status ?? 200, body);
      return reply
        .code(status ?? 200)
        .type("application/json; charset=utf-8")
        .send(JSON.stringify(body));
    },
  });
}

function inputOf(
  definition: RouteDefinition,
  request: FastifyRequest,
  reply: FastifyReply,
  deps: RegisterDeps,
): RouteInput<RouteDefinition> {
  const part = (schema: Parameters<typeof parsePart>[0] | undefined, value: unknown, name: string) =>
    schema ? parsePart(schema, value, name) : undefined;
  const input = {
    params: part(definition.params, request.params, "path"),
    query: part(definition.query, request.query, "query"),
    body: part(definition.body, request.body, "body"),
    upload: definition.upload && uploadOf(request),
    rawQuery: rawQueryOf(request.raw.url ?? ""),
    account: request.account,
    headers: request.headers,
    clientAddress: request.ip,
    arrival: { address: request.socket.localAddress ?? "", port: request.socket.localPort ?? 0 },
    receivedMs: deps.clock.monotonicMs() - reply.elapsedTime,
    // Made when asked for: most handlers do not wait for anything.
    get signal() {
      return AbortSignal.any([goneSignal(reply), deps.closing]);
    },
  };
  // Parsed by the schemas of the definition, which give the type.
  return input as RouteInput<RouteDefinition>;
}

/** All after the first question mark: further ones belong to it. */
function rawQueryOf(url: string): string {
  const at = url.indexOf("?");
  return at < 0 ? "" : url.slice(at + 1);
}

function goneSignal(reply: FastifyReply): AbortSignal {
  const gone = new AbortController();
  if (reply.raw.destroyed) gone.abort();
  else reply.raw.once("close", () => gone.abort());
  return gone.signal;
}

function streamReply(request: FastifyRequest, reply: FastifyReply, streamed: Streamed, deps: RegisterDeps): void {
  reply.hijack();
  const { raw } = reply;
  const { status = 200, headers } = streamed.head;
  raw.writeHead(status, {
    ...reply.getHeaders(),
    ...headers,
    "content-type": streamed.contentType,
    // Tells nginx and its like to pass pieces on at once.
    "x-accel-buffering": "no",
  } as Record<string, string>);
  const signal = AbortSignal.any([goneSignal(reply), deps.closing]);
  sendStream(raw, streamed.pieces, { signal }).catch((error: unknown) => {
    if (signal.aborted) return;
    const level = isAppError(error) && error.status < 500 ? "info" : "error";
    deps.log[level]("http.stream_failed", { requestId: request.id, ...errorFields(error) });
  });
}

function checkResponse(definition: RouteDefinition, status: number, body: unknown): void {
  const sent = JSON.parse(JSON.stringify(body));
  const parsed = definition.responses[status]?.parse(sent);
  if (!isDeepStrictEqual(parsed, sent))
    throw new Error(`${definition.method} ${definition.path}: the reply has keys that its schema does not have`);
}
