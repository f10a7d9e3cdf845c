/**
 * How commands on this machine talk to the server: HTTP over a unix socket that only its user can open. Not part of
 * the API: it needs no token because the file system guards it.
 */

import { once } from "node:events";
import { rm } from "node:fs/promises";
import { createServer, request, type Server } from "node:http";
import { AppError, messageOf } from "@mags/core";

export type ControlHandlers = Readonly<Record<string, (query: URLSearchParams) => Promise<unknown>>>;

/** Serves `handlers` by path. A handler's result is sent as JSON. */
export async function serveControlSocket(path: string, handlers: ControlHandlers): Promise<AsyncDisposable> {
  await rm(path, { force: true });
  const server: Server = createServer(async (incoming, reply) => {
    const url = new URL(incoming.url ?? "/", "http://control");
    const handler = handlers[`${incoming.method} ${url.pathname}`];
    const [status, body] = handler
      ? await handler(url.searchParams).then(
          (result) => [200, result],
          (error: unknown) => [500, { error: messageOf(error) }],
        )
      : [404, { error: `no such call: ${incoming.method} ${url.pathname}` }];
    reply.writeHead(status as number, { "content-type": "application/json" }).end(JSON.stringify(body));
  });
  const mask = process.umask(0o177);
  try {
    server.listen(path);
    await once(server, "listening");
  } finally {
    process.umask(mask);
  }
  return {
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

/**
 * Calls the server of this machine.
 * @returns undefined when no server listens there.
 * @throws AppError `unavailable` with the server's own message when the call fails.
 */
export function callControlSocket<T>(
  path: string,
  method: "GET" | "POST",
  target: string,
  timeoutMs: number,
): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ socketPath: path, method, path: target, timeout: timeoutMs });
    outgoing.on("timeout", () =>
      outgoing.destroy(new AppError("unavailable", `the server did not answer within ${timeoutMs / 1000} s`)),
    );
    outgoing.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT" || error.code === "ECONNREFUSED") resolve(undefined);
      else reject(error);
    });
    outgoing.on("response", (reply) => {
      let text = "";
      reply.setEncoding("utf8");
      reply.on("data", (piece: string) => {
        text += piece;
      });
      reply.on("error", reject);
      reply.on("end", () => {
        const body = JSON.parse(text) as T & { error?: string };
        if (reply.statusCode === 200) resolve(body);
        else reject(new AppError("unavailable", body.error ?? `the server answered ${reply.statusCode}`));
      });
    });
    outgoing.end();
  });
}
