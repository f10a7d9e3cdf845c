import { randomUUID } from "node:crypto";
import { AppError } from "@mags/core";
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import type { Metrics } from "../metrics/metrics.ts";
import { limitBodyTime } from "./body-time.ts";
import { allowOrigins } from "./cors.ts";
import { cutLateConnections } from "./cut-late-connections.ts";
import { errorFields, errorReply } from "./errors.ts";
import { parseBodiesAsJson } from "./json-body.ts";
import { pipelining } from "./pipelining.ts";
import { type RegisterDeps, registerRoutes } from "./register-routes.ts";
import type { BoundRoute } from "./route.ts";
import { acceptWebSockets } from "./web-socket.ts";

/** A script of 1 MiB may take six times as much when JSON escapes every character. */
const MAX_BODY_BYTES = 8 * 1024 * 1024;
/** To receive the head of a request; replies may take as long as they need. */
const HEAD_TIMEOUT_MS = 60_000;

/** Longer than anything takes that does not wait for a job. */
const SLOW_MS = 1_000;

const HEADERS = {
  "cache-control": "no-store",
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
};

export interface ServerDeps extends Omit<RegisterDeps, "webSockets"> {
  readonly metrics: Metrics;
}

export interface ServerOptions {
  readonly routes: readonly BoundRoute[];
  /** Adds what is not part of the API proper: health, metrics, description. */
  readonly extend: (app: FastifyInstance) => void;
  readonly corsOrigins: readonly string[];
}

/** The HTTP server, not listening yet. */
export function createHttpServer(deps: ServerDeps, options: ServerOptions): FastifyInstance {
  const app = fastify({
    logger: false,
    bodyLimit: MAX_BODY_BYTES,
    requestTimeout: 0,
    http: { headersTimeout: HEAD_TIMEOUT_MS, ...pipelining() },
    exposeHeadRoutes: false,
    // What comes while the server closes is answered as ever: the connection ends after it.
    return503OnClosing: false,
    genReqId: () => randomUUID(),
    frameworkErrors: (error, request, reply) => {
      sendError(error, request, reply);
    },
  });
  cutLateConnections(app);
  // First of all: whatever comes later answers errors through it.
  app.setErrorHandler((error, request, reply) => {
    const status = sendError(error, request, reply);
    if (status >= 500) deps.log.error("http.failed", { requestId: request.id, ...errorFields(error) });
  });
  app.setNotFoundHandler((request, reply) => {
    const path = request.url.split("?")[0];
    const text = `there is no ${request.method} ${path}: /api/openapi.json describes what there is`;
    sendError(new AppError("route_not_found", text), request, reply);
  });
  parseBodiesAsJson(app);
  app.addHook("onRequest", async (request, reply) => {
    reply.headers({ ...HEADERS, "x-request-id": request.id });
  });
  limitBodyTime(app);
  allowOrigins(app, options.corsOrigins);
  app.addHook("onResponse", async (request, reply) => observe(deps, request, reply));
  const webSockets = acceptWebSockets(app, deps, { origins: options.corsOrigins });
  registerRoutes(app, options.routes, { ...deps, webSockets });
  options.extend(app);
  return app;
}

function sendError(error: unknown, request: FastifyRequest, reply: FastifyReply): number {
  const { status, body, headers } = errorReply(error, request.id);
  reply.code(status).headers(headers).type("application/json; charset=utf-8").send(JSON.stringify(body));
  return status;
}

/** One observation a request, at its end, and one line: in the everyday log where it was refused, failed or slow. */
function observe({ log, metrics }: ServerDeps, request: FastifyRequest, reply: FastifyReply): void {
  const route = request.routeOptions.url ?? "unknown";
  const { method } = request;
  const status = reply.raw.statusCode;
  const durationMs = reply.elapsedTime;
  metrics.request({ method, route, status, durationMs });
  const level = status >= 400 || durationMs >= SLOW_MS ? "info" : "debug";
  log[level]("http.request", {
    requestId: request.id,
    ...{ method, route, status, durationMs: Math.round(durationMs * 10) / 10 },
    ...(request.account && { accountId: request.account.id }),
  });
}
