/** Answers calls on a unix socket that only root can open. A caller that goes away gives its call up. */
import { once } from "node:events";
import { chmod, mkdir, rename, rm } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { join } from "node:path";
import { AppError, firstFailure, isAppError, type Logger, messageOf } from "@mags/core";
import type { BlockServerCalls, CallName } from "../calls.ts";

/** Each takes the call's parameters, and a signal that ends with the caller. */
export type CallHandlers = {
  readonly [Name in CallName]: (
    params: Parameters<BlockServerCalls[Name]>[0],
    options: { readonly signal: AbortSignal },
  ) => ReturnType<BlockServerCalls[Name]>;
};

const MAX_REQUEST_BYTES = 64 << 20;

/** The caller has made sure that no other process serves this path. */
export async function serveCalls(path: string, handlers: CallHandlers, log: Logger): Promise<AsyncDisposable> {
  const server = createServer((incoming, reply) => void answer(incoming, reply));
  server.requestTimeout = 0; // a sync may take hours

  async function answer(incoming: IncomingMessage, reply: ServerResponse): Promise<void> {
    const gone = new AbortController();
    reply.once("close", () => gone.abort(new AppError("unavailable", "who asked went away")));
    const name = (incoming.url ?? "").slice(1);
    let body: unknown;
    try {
      if (!Object.hasOwn(handlers, name)) throw new AppError("internal", `the block server has no call ${name}`);
      const handler = handlers[name as CallName] as (params: unknown, options: { signal: AbortSignal }) => unknown;
      body = { result: await handler(await paramsOf(incoming), { signal: gone.signal }) };
    } catch (error) {
      const first = firstFailure(error);
      const code = isAppError(first) ? first.code : "internal";
      if (code === "internal" && !gone.signal.aborted)
        log.error("blocks.call_failed", { name, error: messageOf(error) });
      body = { error: { code, message: messageOf(error) } };
    }
    reply.end(JSON.stringify(body));
  }

  // A socket gets its mode after it can be reached, so it is made where nobody else comes.
  const workshop = `${path}.new`;
  await rm(workshop, { recursive: true, force: true });
  await mkdir(workshop, { mode: 0o700 });
  server.listen(join(workshop, "s"));
  await once(server, "listening");
  await chmod(join(workshop, "s"), 0o600);
  await rename(join(workshop, "s"), path);
  await rm(workshop, { recursive: true });
  return {
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
      await rm(path, { force: true });
    },
  };
}

async function paramsOf(incoming: IncomingMessage): Promise<unknown> {
  const pieces: Buffer[] = [];
  let held = 0;
  for await (const piece of incoming) {
    held += (piece as Buffer).length;
    if (held > MAX_REQUEST_BYTES) throw new AppError("payload_too_large", "the call is too long");
    pieces.push(piece as Buffer);
  }
  return JSON.parse(Buffer.concat(pieces).toString());
}
