import type { FastifyInstance } from "fastify";

const MAX_AGE_S = 600;

/** Lets pages of the given origins, and of no others, read replies. Tokens are sent by hand, so no credentials. */
export function allowOrigins(app: FastifyInstance, origins: readonly string[]): void {
  if (origins.length === 0) return;
  app.addHook("onRequest", async (request, reply) => {
    reply.header("vary", "Origin");
    const { origin } = request.headers;
    if (origin === undefined || !origins.includes(origin)) return;
    reply.header("access-control-allow-origin", origin);
    if (request.method !== "OPTIONS") return;
    reply.headers({
      "access-control-allow-methods": "GET, HEAD, POST, PATCH, PUT, DELETE",
      "access-control-allow-headers": "Authorization, Content-Type, If-Range, Last-Event-ID, Range",
      "access-control-max-age": String(MAX_AGE_S),
    });
    await reply.code(204).send();
  });
}
