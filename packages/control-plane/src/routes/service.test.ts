import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { AccountId } from "@mags/domain";
import fastify from "fastify";
import type { Accounts } from "../app/accounts.ts";
import { errorReply } from "../http/errors.ts";
import type { Metrics } from "../metrics/metrics.ts";
import { registerService } from "./service.ts";

function createApp() {
  const app = fastify();
  app.setErrorHandler((error, request, reply) => {
    const { status, body } = errorReply(error, request.id);
    return reply.code(status).send(body);
  });
  const accounts = {
    authenticate: async (token: string) =>
      token === "none"
        ? null
        : { id: token as AccountId, email: "", name: "", role: token === "admin" ? "admin" : "user" },
  } satisfies Partial<Accounts>;
  const metrics = { contentType: "text/plain", text: async () => "numbers" } satisfies Partial<Metrics>;
  // The routes use no more of either.
  registerService(app, {
    accounts: accounts as unknown as Accounts,
    metrics: metrics as unknown as Metrics,
    readiness: async () => ({ ready: true, checks: {} }),
  });
  return app;
}

describe("GET /metrics", () => {
  const get = async (remoteAddress: string, token?: string, proxied: Readonly<Record<string, string>> = {}) => {
    const headers = { ...proxied, ...(token !== undefined && { authorization: `Bearer ${token}` }) };
    return (await createApp().inject({ url: "/metrics", remoteAddress, headers })).statusCode;
  };

  it("answers every process of this machine", async () => {
    for (const address of ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"]) assert.equal(await get(address), 200);
  });

  it("takes what a proxy of this machine passes on for a request of others", async () => {
    for (const name of ["Forwarded", "X-Forwarded-For", "X-Forwarded-Proto", "X-Real-IP", "Via"]) {
      const proxied = { [name]: "192.0.2.1" };
      assert.equal(await get("127.0.0.1", undefined, proxied), 401);
      assert.equal(await get("127.0.0.1", "user", proxied), 403);
      assert.equal(await get("127.0.0.1", "admin", proxied), 200);
    }
  });

  it("asks others for the token of an administrator", async () => {
    for (const address of ["192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1"]) {
      assert.equal(await get(address), 401);
      assert.equal(await get(address, "none"), 401);
      assert.equal(await get(address, "user"), 403);
      assert.equal(await get(address, "admin"), 200);
    }
  });
});
