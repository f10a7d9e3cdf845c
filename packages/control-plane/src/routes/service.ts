/** What is not part of the API proper and has no version: health, metrics, the API's description. */
import { buildOpenApiDocument } from "@mags/api-schema";
import { AppError, messageOf, withDeadline } from "@mags/core";
import type { FastifyInstance, FastifyRequest } from "fastify";
import type { Accounts } from "../app/accounts.ts";
import { authenticate } from "../http/authenticate.ts";
import type { Metrics } from "../metrics/metrics.ts";

/** One thing that has to work. */
export interface ReadinessCheck {
  readonly name: string;
  /** Whether jobs cannot be served without it. Default: they cannot. What is not is told of, and the server stays ready. */
  readonly isEssential?: boolean;
  /** Rejects with what is wrong. */
  check(): Promise<void>;
}

export interface Readiness {
  /** What is essential works. */
  readonly ready: boolean;
  /** `ok`, or what is wrong, by the name of the check. */
  readonly checks: Readonly<Record<string, string>>;
}

/** What does not answer is not ready: whoever asks has patience for a few seconds. */
const CHECK_MS = 3_000;

export async function readinessOf(checks: readonly ReadinessCheck[]): Promise<Readiness> {
  const results = await Promise.all(checks.map(resultOf));
  const ready = checks.every(({ isEssential = true }, at) => !isEssential || results[at]?.[1] === "ok");
  return { ready, checks: Object.fromEntries(results) };
}

export interface ServiceDeps {
  readonly accounts: Accounts;
  readonly metrics: Metrics;
  readonly readiness: () => Promise<Readiness>;
}

const LOOPBACK = /^(::ffff:)?127\.|^::1$/;
/** What a proxy adds to the requests of others: RFC 7239, RFC 9110 (`Via`), and what was used before them. */
const PROXIED = /^(forwarded|via|x-real-ip|x-forwarded-.*)$/;

export function registerService(app: FastifyInstance, deps: ServiceDeps): void {
  const description = JSON.stringify(buildOpenApiDocument());

  app.get("/api/openapi.json", (_request, reply) => reply.type("application/json; charset=utf-8").send(description));

  app.get("/healthz", async () => ({ status: "ok" }));

  app.get("/readyz", async (_request, reply) => {
    const readiness = await deps.readiness();
    return reply.code(readiness.ready ? 200 : 503).send(readiness);
  });

  app.get("/metrics", async (request, reply) => {
    if (!isOfThisMachine(request)) {
      const account = await authenticate(deps.accounts, request.headers.authorization);
      if (account.role !== "admin")
        throw new AppError("forbidden", "metrics are for this machine and for administrators: use an admin's token");
    }
    return reply.type(deps.metrics.contentType).send(await deps.metrics.text());
  });
}

/** A proxy on this machine connects from loopback too, so what it passes on counts as coming from elsewhere. */
function isOfThisMachine({ socket, headers }: FastifyRequest): boolean {
  return LOOPBACK.test(socket.remoteAddress ?? "") && !Object.keys(headers).some((name) => PROXIED.test(name));
}

async function resultOf({ name, check }: ReadinessCheck): Promise<[string, string]> {
  try {
    await withDeadline(check(), CHECK_MS, () => new Error(`no answer within ${CHECK_MS / 1000} s`));
    return [name, "ok"];
  } catch (error) {
    return [name, messageOf(error)];
  }
}
