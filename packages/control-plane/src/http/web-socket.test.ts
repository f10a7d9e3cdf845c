import assert from "node:assert/strict";
import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { text } from "node:stream/consumers";
import { afterEach, beforeEach, describe, it } from "node:test";
import { silentLogger, systemClock } from "@mags/core";
import type { FastifyInstance } from "fastify";
import { WebSocket } from "ws";
import type { Accounts } from "../app/accounts.ts";
import type { Metrics } from "../metrics/metrics.ts";
import type { BoundRoute } from "./route.ts";
import { createHttpServer } from "./server.ts";
import { Conversation } from "./web-socket.ts";

const talk: BoundRoute = {
  definition: {
    ...{ method: "GET", path: "/talk", summary: "Talk", auth: "none", webSocket: "talk" },
    ...{ responses: { 101: null }, errors: [] },
  },
  handler: async () => new Conversation(async (socket) => void (await once(socket, "close"))),
};
const upgrade = (path: string) =>
  `GET ${path} HTTP/1.1\r\nHost: box\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`;

describe("a server of WebSockets", { timeout: 20_000 }, () => {
  let app: FastifyInstance;
  let port: number;
  let closing: AbortController;
  let hanging: PromiseWithResolvers<void>;
  beforeEach(async () => {
    closing = new AbortController();
    hanging = Promise.withResolvers();
    app = createHttpServer(
      {
        // No route here asks for an account.
        accounts: {} as Accounts,
        metrics: { request() {} } as unknown as Metrics,
        ...{ clock: systemClock, log: silentLogger, closing: closing.signal, checkResponses: true },
      },
      {
        routes: [talk],
        corsOrigins: [],
        extend: (server) =>
          void server.get("/hang", () => {
            hanging.resolve();
            return new Promise(() => {});
          }),
      },
    );
    await app.listen({ host: "127.0.0.1", port: 0 });
    ({ port } = app.server.address() as AddressInfo);
  });
  afterEach(() => app.close());

  const dial = (said: string) => {
    const client = connect(port, "127.0.0.1").on("error", () => {});
    client.write(said);
    return client;
  };

  it("ends, whoever waits for the answer to an upgrade", async () => {
    const client = dial(upgrade("/hang"));
    await hanging.promise;
    await Promise.all([app.close(), once(client, "close")]);
  });

  it("closes a conversation that begins when it ends", async () => {
    closing.abort();
    const socket = new WebSocket(`ws://127.0.0.1:${port}/api/v1/talk`, "talk");
    const [code] = await once(socket, "close");
    assert.equal(code, 1_001);
  });

  it("cuts the connection of an upgrade after an answer that was broken off", async () => {
    app.server.prependListener("request", (_request: IncomingMessage, response: ServerResponse) => response.destroy());
    assert.equal(await text(dial(`GET / HTTP/1.1\r\nHost: box\r\n\r\n${upgrade("/hang")}`)), "");
  });
});
