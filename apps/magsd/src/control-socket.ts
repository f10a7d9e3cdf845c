/**
 * How commands on this machine talk to the server: HTTP over a unix socket that only its user can open. Not part of
 * the API: it needs no token because the file system guards it.
 */

import { once } from "node:events";
import { chmod, mkdir, rename, rm } from "node:fs/promises";
import { createServer, request, type Server } from "node:http";
import { join } from "node:path";
import { AppError, messageOf } from "@mags/core";

export type ControlHandlers = Readonly<Record<string, (query: URLSearchParams) => Promise<unknown>>>;

/**
 * Serves `handlers` by path. A handler's result is sent as JSON. The caller has made sure that no other process serves
 * this socket; one that a dead process left is replaced.
 */
export async function serveControlSocket(path: string, handlers: ControlHandlers): Promise<AsyncDisposable> {
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
  await listenPrivately(server, path);
  return {
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
      await rm(path, { force: true });
    },
  };
}

/** A socket gets its mode after it can be reached, so it is made where nobody else comes, and moved once it has it. */
async function listenPrivately(server: Server, path: string): Promise<void> {
  const workshop = `${path}.new`;
  await rm(workshop, { recursive: true, force: true });
  await mkdir(workshop, { mode: 0o700 });
  const made = join(workshop, "s");
  server.listen(made);
  await once(server, "listening");
  await chmod(made, 0o600);
  await rename(made, path);
  await rm(workshop, { recursive: true });
}

/**
 * Calls the server of this machine.
 * @returns undefined when no server listens there, or it ends before it has answered a question.
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
      const ended = method === "GET" && (error.code === "ECONNRESET" || error.code === "EPIPE");
      if (error.code === "ENOENT" || error.code === "ECONNREFUSED" || ended) resolve(undefined);
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
