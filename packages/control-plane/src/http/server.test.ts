import assert from "node:assert/strict";
import { it } from "node:test";
import { type LogFields, type Logger, silentLogger, systemClock } from "@mags/core";
import { waitFor } from "@mags/test-kit";
import type { Accounts } from "../app/accounts.ts";
import type { Metrics } from "../metrics/metrics.ts";
import { createHttpServer } from "./server.ts";

it("a request is a line of the everyday log only when it is refused, fails or is slow", async () => {
  const lines: string[] = [];
  const at =
    (level: string) =>
    (_event: string, fields: LogFields = {}) =>
      void lines.push(`${level} ${fields.status}`);
  const log: Logger = { ...silentLogger, debug: at("debug"), info: at("info") };
  const app = createHttpServer(
    {
      // No route here asks for an account.
      accounts: {} as Accounts,
      metrics: { request() {} } as unknown as Metrics,
      clock: systemClock,
      log,
      closing: new AbortController().signal,
      checkResponses: true,
    },
    { routes: [], corsOrigins: [], extend: (server) => void server.get("/there", async () => "yes") },
  );
  await app.inject("/there");
  await app.inject("/elsewhere");
  await waitFor(() => lines.length === 2, { what: "the lines" });
  assert.deepEqual(lines, ["debug 200", "info 404"]);
});
