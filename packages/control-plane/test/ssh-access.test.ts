import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { startTestServer, type TestServer } from "./support/database.ts";
import { startTestPlane, type TestPlane } from "./support/plane.ts";
import { JOBS, sandboxTests } from "./support/sandboxes.ts";

let server: TestServer;
before(async () => {
  server = await startTestServer();
});
after(() => server[Symbol.asyncDispose]());

describe("a server without SSH", () => {
  let plane: TestPlane;
  before(async () => {
    plane = await startTestPlane(await server.database());
  });
  after(() => plane[Symbol.asyncDispose]());
  const { call, idle } = sandboxTests(() => plane);

  it("says so", async () => {
    await idle("box");
    const reply = await call("POST", `${JOBS}/box/access`, { port: 22 });
    assert.deepEqual([reply.status, reply.body.error], [400, "this server takes no SSH connections"]);
    const { body } = await call("GET", "/api/v1/ssh");
    assert.deepEqual(body, { enabled: false, host: null, port: null, host_key: null, fingerprint: null });
  });

  it("says that other ports are not served", async () => {
    const reply = await call("POST", `${JOBS}/box/access`);
    assert.deepEqual([reply.status, reply.body.code], [400, "not_supported"]);
    assert.match(reply.body.error, /only 22 \(SSH\) is served so far, and 8080 is not/);
  });
});
