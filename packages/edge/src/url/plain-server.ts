/**
 * What listens beside TLS for clients that do not speak it: sends them there, and answers whoever checks for a certificate
 * whose a host is (RFC 8555, section 8.3).
 */
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { type Logger, messageOf } from "@mags/core";
import type { UrlDirectory } from "@mags/domain";
import { authorityOf, targetOf } from "./authority.ts";
import type { FrontLimits } from "./front-servers.ts";
import { gathered } from "./gathered.ts";

export interface PlainOptions {
  readonly host: string;
  /** 0: one that is free. */
  readonly port: number;
  /** Where clients reach TLS. Null: where it listens. */
  readonly publicPort: number | null;
}

export interface PlainServer extends AsyncDisposable {
  readonly port: number;
}

export interface PlainDeps {
  readonly directory: Pick<UrlDirectory, "challenge">;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

const CHALLENGES = "/.well-known/acme-challenge/";
const PATIENCE_MS = 10_000;
const HTTPS_PORT = 443;

/** @throws what listening throws */
export async function openPlainServer(
  { directory, log, signal }: PlainDeps,
  { host, port, limits, tlsPort }: Omit<PlainOptions, "publicPort"> & { limits: FrontLimits; tlsPort: number },
): Promise<PlainServer> {
  async function answer(from: IncomingMessage, to: ServerResponse): Promise<void> {
    const [authority, target] = [authorityOf(from), targetOf(from)];
    if (!authority || target === undefined) return sayShort(to, 400);
    if (target.startsWith(CHALLENGES)) {
      const [path = ""] = target.split("?", 1);
      const asked = { host: authority.host, token: path.slice(CHALLENGES.length) };
      const until = AbortSignal.any([signal, AbortSignal.timeout(PATIENCE_MS)]);
      const said = await directory.challenge(asked, { signal: until });
      return said === null
        ? sayShort(to, 404)
        : sayShort(to, 200, { "content-type": "application/octet-stream" }, said);
    }
    const place = tlsPort === HTTPS_PORT ? authority.host : `${authority.host}:${tlsPort}`;
    sayShort(to, 308, { location: `https://${place}${target === "*" ? "/" : target}` });
  }

  const server = createServer(
    {
      ...{ maxHeaderSize: limits.headerBytes, requireHostHeader: false, headersTimeout: limits.headMs },
      // A body is not read: whoever sends one asks again, over TLS.
      ...{ requestTimeout: limits.headMs, keepAliveTimeout: 1, connectionsCheckingInterval: 1_000 },
    },
    (from, to) => {
      answer(gathered(from), to).catch((error: unknown) => {
        log.warn("url.challenge_failed", { error: messageOf(error) });
        sayShort(to, 503);
      });
    },
  );
  server.maxConnections = limits.connections;
  server.timeout = limits.silentMs;
  server.listen({ host, port });
  await once(server, "listening");
  server.on("error", (error) => log.error("url.accept_failed", { error: messageOf(error) }));
  return {
    port: (server.address() as { readonly port: number }).port,
    async [Symbol.asyncDispose]() {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

function sayShort(to: ServerResponse, status: number, headers: Record<string, string> = {}, body = ""): void {
  to.writeHead(status, { ...headers, "content-length": Buffer.byteLength(body), connection: "close" }).end(body);
}
