import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { after, before, describe, it } from "node:test";
import { buildOpenApiDocument, execs, jobs, ROUTES, type RouteName } from "@mags/api-schema";
import { type ApiClient, createApiClient, waitFor } from "@mags/test-kit";
import fc from "fast-check";
import { startTestServer, type TestServer } from "./support/database.ts";
import { startTestPlane, type TestPlane } from "./support/plane.ts";
import { addSshKey, challengeFor, makeSshKey, type TestSshKey } from "./support/ssh-key.ts";
import { URLS } from "./support/urls.ts";

const V1 = "/api/v1";
const JOBS = `${V1}/mags-jobs`;

let server: TestServer;
let plane: TestPlane;
/** Bodies of the API are checked against its schemas by the server under test, so tests read them freely. */
// biome-ignore lint/suspicious/noExplicitAny: see above.
type Body = any;

before(async () => {
  server = await startTestServer();
  plane = await startTestPlane(await server.database(), { corsOrigins: ["https://site.example"], urls: URLS });
});
after(async () => {
  await plane[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});

async function call(method: string, path: string, body?: unknown, client: ApiClient = plane.admin) {
  const reply = await client.call(method, path, body);
  return { ...reply, body: reply.body as Body };
}

async function submit(fields: Record<string, unknown> = {}, client?: ApiClient): Promise<string> {
  const reply = await call("POST", JOBS, { script: "echo hi", type: "inline", ...fields }, client);
  assert.equal(reply.status, 202, JSON.stringify(reply.body));
  return reply.body.request_id;
}

async function untilStatus(id: string, status: string): Promise<Body> {
  return waitFor(
    async () => {
      const { body } = await call("GET", `${JOBS}/${id}/status`);
      return body.status === status && body;
    },
    { what: `job ${id} to be ${status}` },
  );
}

describe("submit and status", () => {
  it("accepts a job with exactly three keys, runs it, and tells how it ended", async () => {
    const { status, body } = await call("POST", JOBS, {
      script: "echo hi\nexit 3",
      type: "inline",
      labels: { a: "b" },
    });
    assert.equal(status, 202);
    assert.deepEqual(Object.keys(body).sort(), ["message", "request_id", "status"]);
    assert.deepEqual([body.status, body.message], ["accepted", "Mags job submitted successfully"]);
    const ended = await untilStatus(body.request_id, "completed");
    assert.equal(ended.exit_code, 3);
    assert.equal(ended.vm_id, undefined);
    assert.deepEqual(ended.labels, { a: "b" });
    assert.match(ended.completed_at, /Z$/);
    assert.ok(ended.started_at >= ended.created_at);
  });

  it("shows vm_id together with the status running, and only then", async () => {
    const id = await submit({ script: "hang" });
    const running = await untilStatus(id, "running");
    assert.match(running.vm_id, /^vm-[0-9a-f]{12}$/);
    assert.ok(running.started_at);
    await call("POST", `${JOBS}/${id}/stop`);
    assert.equal((await untilStatus(id, "completed")).vm_id, undefined);
  });

  it("ends a job that could not run as error, with the reason", async () => {
    const id = await submit({ script: "fail the VM panicked" });
    assert.equal((await untilStatus(id, "error")).error_message, "the VM panicked");
  });

  it("passes environment, size, timeout and address on to the node", async () => {
    const id = await submit({
      ...{ type: "url", script: " https://example.org/x.sh ", environment: { A: "1" }, vcpus: 1, memory_mb: 512 },
      ...{ disk_gb: 1, timeout: 1.5, rootfs_type: "standard" },
    });
    assert.ok(plane.node.startCalls.some((started) => started === id));
    const { body } = await call("GET", `${JOBS}/${id}`);
    assert.deepEqual([body.id, body.vcpus, body.memory_mb, body.disk_gb], [id, 1, 512, 2]);
  });

  it("finds jobs by name: the newest, but a live one first", async () => {
    const first = await submit({ name: "named", script: "hang" });
    await untilStatus(first, "running");
    const second = await submit({ name: "named" });
    await untilStatus(second, "completed");
    assert.equal((await call("GET", `${JOBS}/named/status`)).body.request_id, first);
    await call("POST", `${JOBS}/named/stop`);
    await untilStatus(first, "completed");
    assert.equal((await call("GET", `${JOBS}/named/status`)).body.request_id, second);
  });

  it("lists jobs newest first, paged and filtered", async () => {
    const { client } = await plane.addUser();
    const ids = [await submit({ name: "l1" }, client), await submit({ name: "l2", labels: { k: "v=w" } }, client)];
    const list = async (query: string) => (await call("GET", `${JOBS}?${query}`, undefined, client)).body;
    const whole = await list("");
    assert.deepEqual([whole.total, whole.page, whole.page_size], [2, 1, 20]);
    assert.deepEqual(
      whole.jobs.map((job: Body) => job.id),
      ids.toReversed(),
    );
    assert.equal((await list("page=2&page_size=1")).jobs[0].request_id, ids[0]);
    assert.equal((await list("label=k%3Dv%3Dw")).jobs[0].name, "l2");
    assert.equal((await list("name=l1")).total, 1);
    assert.equal((await list("status=sleeping")).total, 0);
    assert.equal((await list("workspace_id=w")).total, 0);
  });

  it("answers /api/v2 as /api/v1", async () => {
    assert.equal((await call("GET", "/api/v2/me")).body.email, "admin@localhost");
  });
});

describe("bad input", () => {
  const good = { script: "echo", type: "inline" };
  const cases: readonly [string, unknown, RegExp][] = [
    ["no body", undefined, /^body: is required/],
    ["text that is no JSON", "{", /not valid JSON/],
    ["no type", { script: "echo" }, /^type: .*"inline".*"url"/],
    ["an empty script", { ...good, script: "" }, /^script: is empty/],
    ["a blank script", { ...good, script: " \r\n\t" }, /^script: is empty/],
    ["a NUL in the script", { ...good, script: "a\0" }, /^script: .*NUL/],
    ["a script above 1 MiB", { ...good, script: "x".repeat(1_048_577) }, /^script: .*1 MiB/],
    ["an address that is no web address", { script: "file:///etc/passwd", type: "url" }, /^script: .*http/],
    ["a bad name", { ...good, name: "a b" }, /^name: /],
    ["a reserved name", { ...good, name: "usage" }, /^name: is reserved/],
    ["wrong types", { ...good, environment: { A: 1 } }, /^environment\.A: /],
    ["too many CPUs", { ...good, vcpus: 100 }, /^vcpus: .*at most 4/],
    ["too much memory", { ...good, memory_mb: 1e6 }, /^memory_mb: .*at most 8192/],
    ["too large a disk", { ...good, disk_gb: 65 }, /^disk_gb: .*at most 64/],
    ["an unknown image", { ...good, rootfs_type: "pi" }, /^rootfs_type: .*standard/],
    ["no CPU", { ...good, vcpus: 0 }, /^vcpus: /],
    ["half a CPU", { ...good, vcpus: 0.5 }, /^vcpus: /],
    ["too little memory", { ...good, memory_mb: 255 }, /^memory_mb: must be at least 256, not 255/],
    ["no memory", { ...good, memory_mb: 0 }, /^memory_mb: /],
    ["a negative disk", { ...good, disk_gb: -1 }, /^disk_gb: /],
    ["a disk in fractions", { ...good, disk_gb: 2.5 }, /^disk_gb: /],
    ["a negative timeout", { ...good, timeout: -1 }, /^timeout: /],
    ["a timeout of nothing", { ...good, timeout: 0 }, /^timeout: /],
    ["a timeout above 365 days", { ...good, timeout: 31_536_001 }, /^timeout: .*31536000/],
    ["idle_minutes of a VM that does not stay", { ...good, idle_minutes: 5 }, /^idle_minutes: needs persistent/],
    ["a startup command of such", { ...good, startup_command: "x" }, /^startup_command: needs persistent/],
    ["no_sleep of a VM that does not stay", { ...good, no_sleep: true }, /^no_sleep: needs persistent/],
    ["a bad workspace", { ...good, workspace_id: "a/b" }, /^workspace_id: must be/],
    [
      "a base that is not there",
      { ...good, base_workspace_id: "w" },
      /^base_workspace_id: there is no workspace w: .*mags new w -p/,
    ],
    ["a bad base", { ...good, base_workspace_id: "w@x" }, /^base_workspace_id: must be/],
    ["a base of a bad name", { ...good, base_workspace_id: "a b@1" }, /^base_workspace_id: must be/],
    ["a base that is the workspace itself", { ...good, workspace_id: "w", base_workspace_id: "w" }, /its own base/],
    ["files", { ...good, file_ids: ["x"] }, /^file_ids: there is no upload "x"/],
    ["a startup command with a NUL", { ...good, startup_command: "x\0" }, /^startup_command: /],
    ["no idle minutes", { ...good, idle_minutes: 0 }, /^idle_minutes: /],
    ["idle minutes in fractions", { ...good, idle_minutes: 1.5 }, /^idle_minutes: /],
    ["another egress", { ...good, egress: "open" }, /^egress: .*"filtered".*"none".*allow/],
    ["an egress list of nothing", { ...good, egress: { allow: [] } }, /^egress.*none/],
    ["an address on an egress list", { ...good, egress: { allow: ["a.b", "10.0.0.1"] } }, /^egress.*host name/],
  ];
  for (const [name, body, message] of cases)
    it(`refuses ${name}`, async () => {
      const reply = await call("POST", JOBS, body);
      assert.equal(reply.status, 400);
      assert.match(reply.body.error, message);
      assert.equal(reply.body.code, "validation_failed");
    });

  it("ignores unknown keys and fields that are not set", async () => {
    await submit({
      surprise: 1,
      file_ids: [],
      workspace_id: null,
      replace: false,
      startup_command: "",
      egress: "filtered",
    });
  });

  it("accepts a script of 1 MiB, however its JSON is escaped", async () => {
    const script = "\u0001".repeat(1_048_575);
    const reply = await call("POST", JOBS, { type: "inline", script: `#${script}` });
    assert.equal(reply.status, 202);
  });

  it("answers 413 to a body above 8 MiB", async () => {
    const reply = await call("POST", JOBS, { ...good, script: "x".repeat(9 * 1024 * 1024) });
    assert.deepEqual([reply.status, reply.body.code], [413, "payload_too_large"]);
  });

  it("takes JSON whatever the content type says", async () => {
    const reply = await plane.admin.call("POST", JOBS, JSON.stringify(good), {
      headers: { "content-type": "application/x-www-form-urlencoded" },
    });
    assert.equal(reply.status, 202);
  });

  it("answers in its own shape to paths and methods that do not exist, and to broken paths", async () => {
    for (const [method, path] of [
      ["GET", "/nope"],
      ["GET", `${V1}/nope`],
      ["DELETE", JOBS],
      ["PUT", `${JOBS}/x`],
    ] as const) {
      const reply = await call(method, path);
      assert.deepEqual([reply.status, reply.body.code], [404, "route_not_found"], path);
    }
    const broken = await call("GET", `${JOBS}/%zz/status`);
    assert.deepEqual([broken.status, typeof broken.body.error], [400, "string"]);
  });

  it("answers 404 to ids and names that no job has, or could have", async () => {
    for (const id of ["00000000-0000-4000-8000-000000000000", "nobody", "%00", "a%20b", "x".repeat(90)]) {
      const reply = await call("GET", `${JOBS}/${id}/status`);
      assert.deepEqual([reply.status, reply.body.code], [404, "job_not_found"], id);
    }
  });

  it("refuses queries out of range", async () => {
    for (const query of [
      "page=0",
      "page=x",
      "page_size=101",
      "status=done",
      "label=x",
      "label=a%3D%00",
      "page=1&page=2",
    ])
      assert.equal((await call("GET", `${JOBS}?${query}`)).status, 400, query);
    assert.equal((await call("GET", `${JOBS}/usage?window_days=0`)).status, 400);
  });

  it("never fails on whatever is posted, and answers only what is documented", async () => {
    const documented = Object.keys((buildOpenApiDocument() as Body).paths[JOBS].post.responses);
    const anything = fc.anything({ maxDepth: 2 });
    const mostly = (good: fc.Arbitrary<unknown>) =>
      fc.oneof({ weight: 12, arbitrary: good }, { weight: 1, arbitrary: anything });
    const binary = fc.string({ unit: "binary" });
    const key = fc.oneof(
      { weight: 4, arbitrary: fc.constantFrom("A", "_b", "__proto__") },
      { weight: 1, arbitrary: binary },
    );
    const plausible = fc.record(
      {
        script: mostly(fc.oneof(fc.constant("echo"), binary)),
        type: mostly(fc.constant("inline")),
        name: mostly(fc.constantFrom("ok", "constructor", "__proto__")),
        environment: mostly(fc.dictionary(key, binary, { maxKeys: 2 })),
        labels: mostly(fc.dictionary(key, binary, { maxKeys: 2 })),
        timeout: mostly(fc.double({ min: 0, max: 1e7, noNaN: true })),
        vcpus: mostly(fc.integer({ min: 1, max: 4 })),
        memory_mb: mostly(fc.integer({ min: 256, max: 8192 })),
        disk_gb: mostly(fc.integer({ min: 0, max: 64 })),
        rootfs_type: mostly(fc.constant("standard")),
        egress: mostly(fc.constantFrom("filtered", "none", null, { allow: ["a.b", "*.c"] })),
        persistent: mostly(fc.constant(false)),
      },
      { requiredKeys: ["script", "type"] },
    );
    const body = fc.oneof(
      { weight: 6, arbitrary: plausible.map((value) => toJson(value)) },
      { weight: 1, arbitrary: anything.map((value) => toJson(value)) },
      { weight: 1, arbitrary: fc.string({ unit: "binary" }) },
    );
    let accepted = 0;
    await fc.assert(
      fc.asyncProperty(body, async (text) => {
        const reply = await call("POST", JOBS, text);
        assert.ok(documented.includes(String(reply.status)) && reply.status < 500, `${reply.status}: ${text}`);
        if (reply.status === 202) {
          accepted++;
          jobs.SubmitReply.strict().parse(reply.body);
        } else {
          assert.deepEqual(Object.keys(reply.body), ["error", "code"]);
        }
      }),
      { numRuns: 400 },
    );
    assert.ok(accepted > 40, `enough of them should be valid: ${accepted}`);
  });
});

/** JSON has no bigint and no functions, which `fc.anything` likes. */
function toJson(value: unknown): string {
  return JSON.stringify(value, (_key, child) => (typeof child === "bigint" ? Number(child) : child)) ?? "";
}

describe("stop", () => {
  it("stops a running job, keeps its exit code, and says so in its events", async () => {
    const id = await submit({ script: "echo a\nhang" });
    await untilStatus(id, "running");
    const reply = await call("POST", `${JOBS}/${id}/stop`);
    assert.deepEqual([reply.status, reply.body.success], [200, true]);
    const { body } = await call("GET", `${JOBS}/${id}/status`);
    assert.deepEqual([body.status, body.exit_code], ["completed", 143]);
    const events = (await call("GET", `${JOBS}/${id}/events`)).body.events;
    assert.deepEqual(
      events.map((event: Body) => event.name),
      ["submitted", "started", "stop_requested", "stopped"],
    );
  });

  it("stops a job that waits for its VM", async () => {
    plane.node.hold();
    const id = await submit();
    assert.equal((await call("POST", `${JOBS}/${id}/stop`)).status, 200);
    const { body } = await call("GET", `${JOBS}/${id}/status`);
    assert.deepEqual([body.status, body.exit_code], ["completed", undefined]);
    plane.node.release();
  });

  it("stops a job that the node does not know", async () => {
    const id = await submit({ script: "hang" });
    await untilStatus(id, "running");
    plane.node.forget(...plane.node.observe().map((job) => job.jobId));
    assert.equal((await call("POST", `${JOBS}/${id}/stop`)).status, 200);
    assert.equal((await call("GET", `${JOBS}/${id}/status`)).body.status, "completed");
  });

  it("is no error for a job that has ended", async () => {
    const id = await submit();
    await untilStatus(id, "completed");
    assert.equal((await call("POST", `${JOBS}/${id}/stop`)).status, 200);
  });
});

describe("exec", () => {
  it("runs a command in a running job", async () => {
    const id = await submit({ script: "hang" });
    await untilStatus(id, "running");
    const reply = await call("POST", `${JOBS}/${id}/exec`, { command: "a 'b'\n\"c\"" });
    assert.deepEqual(reply.body, { exit_code: 0, stdout: "a 'b'\n\"c\"\n", stderr: "" });
    const raw = await call("POST", `${JOBS}/${id}/exec`, { command: "x", encoding: "base64" });
    assert.equal(Buffer.from(raw.body.stdout, "base64").toString(), "x\n");
    await call("POST", `${JOBS}/${id}/stop`);
  });

  it("says in the words clients look for why there is no VM to run it in", async () => {
    plane.node.hold();
    const waiting = await submit();
    const early = await call("POST", `${JOBS}/${waiting}/exec`, { command: "x" });
    assert.deepEqual([early.status, early.body.code], [409, "no_vm"]);
    assert.match(early.body.error, /no VM associated with this job/);
    plane.node.release();
    await untilStatus(waiting, "completed");
    const late = await call("POST", `${JOBS}/${waiting}/exec`, { command: "x" });
    assert.deepEqual([late.status, late.body.code], [409, "job_not_running"]);
    assert.match(late.body.error, /not running/);
  });

  it("refuses commands that are empty, contain NUL, or have a timeout out of range", async () => {
    const id = await submit();
    for (const body of [{ command: "" }, { command: "a\0" }, { command: "x", timeout: 3601 }, { command: 1 }, {}])
      assert.equal((await call("POST", `${JOBS}/${id}/exec`, body)).status, 400);
  });
});

describe("exec of a client that goes away", () => {
  it("ends the command", async () => {
    const begun = Promise.withResolvers<AbortSignal>();
    await using other = await startTestPlane(await server.database(), {
      simulated: {
        exec: async (_request, signal) => {
          begun.resolve(signal);
          await once(signal, "abort");
          throw signal.reason;
        },
      },
    });
    await other.admin.call("POST", JOBS, { script: "hang", type: "inline", name: "j" });
    const leaving = new AbortController();
    await waitFor(() => other.node.observe()[0]?.state === "running", { what: "the job to run" });
    const reply = other.admin.call("POST", `${JOBS}/j/exec`, { command: "sleep 100" }, { signal: leaving.signal });
    const signal = await begun.promise;
    leaving.abort();
    await assert.rejects(reply);
    await waitFor(() => signal.aborted, { what: "the command to be ended" });
  });
});

describe("service", () => {
  it("shows pool and usage", async () => {
    const pool = (await call("GET", `${JOBS}/pool-status`)).body;
    assert.equal(pool.total_vms, pool.idle_vms + pool.busy_vms);
    const usage = (await call("GET", `${JOBS}/usage?window_days=7`)).body;
    assert.equal(usage.window_days, 7);
    assert.ok(usage.total_jobs > 0);
  });

  it("answers health, readiness and its description without a token", async () => {
    const client = createApiClient(plane.url);
    assert.equal((await client.call("GET", "/healthz")).status, 200);
    assert.deepEqual((await client.call("GET", "/readyz")).body, { ready: true, checks: { database: "ok" } });
    assert.deepEqual(
      (await client.call("GET", "/api/openapi.json")).body,
      JSON.parse(JSON.stringify(buildOpenApiDocument())),
    );
  });

  it("shows metrics to this machine", async () => {
    const text = String((await call("GET", "/metrics")).body);
    for (const name of [
      "mags_http_request_duration_seconds_bucket",
      "mags_job_submit_to_started_seconds_count",
      "mags_jobs{",
    ])
      assert.ok(text.includes(name), name);
  });

  it("sends safe headers, a request id, and lets only configured origins read", async () => {
    const headersOf = async (origin: string) =>
      (await plane.admin.call("GET", `${V1}/me`, undefined, { headers: { origin } })).headers;
    const allowed = await headersOf("https://site.example");
    assert.equal(allowed.get("access-control-allow-origin"), "https://site.example");
    assert.equal(allowed.get("x-content-type-options"), "nosniff");
    assert.equal(allowed.get("cache-control"), "no-store");
    assert.match(allowed.get("x-request-id") ?? "", /^[0-9a-f-]{36}$/);
    assert.equal((await headersOf("https://evil.example")).get("access-control-allow-origin"), null);
    const preflight = await fetch(plane.url + JOBS, { method: "OPTIONS", headers: { origin: "https://site.example" } });
    assert.equal(preflight.status, 204);
    assert.match(preflight.headers.get("access-control-allow-headers") ?? "", /Last-Event-ID/);
  });
});

describe("tokens", () => {
  it("makes a token that works, lists it without its secret, and revokes it", async () => {
    const made = await call("POST", `${V1}/access-tokens`, { name: "laptop" });
    assert.equal(made.status, 201);
    const { id, token, prefix } = made.body;
    const client = createApiClient(plane.url, token);
    assert.equal((await client.call("GET", `${V1}/me`)).status, 200);
    const listed = await waitFor(
      async () => {
        const { body } = await call("GET", `${V1}/access-tokens`);
        const entry = body.tokens.find((one: Body) => one.id === id);
        return entry.last_used_at !== null && entry;
      },
      { what: "the use to be written down" },
    );
    assert.equal(listed.name, "laptop");
    assert.ok(token.startsWith(prefix) && !JSON.stringify(listed).includes(token));
    assert.equal((await call("DELETE", `${V1}/access-tokens/${id}`)).status, 200);
    assert.equal((await client.call("GET", `${V1}/me`)).status, 401);
    assert.equal((await call("DELETE", `${V1}/access-tokens/${id}`)).status, 404);
    assert.equal((await call("DELETE", `${V1}/access-tokens/x`)).status, 404);
  });

  it("issues tokens for the first account, of which there is one", async () => {
    const token = await plane.plane.accounts.issueBootstrapToken("quickstart");
    const client = createApiClient(plane.url, token.reveal());
    assert.equal(((await client.call("GET", `${V1}/me`)).body as Body).role, "admin");
    const { accounts } = plane.plane;
    assert.deepEqual(await accounts.ensureBootstrap(), await accounts.ensureBootstrap());
  });
});

describe("authorization", () => {
  const { EXEC_PROTOCOL } = execs;
  const ALIASES = `${V1}/mags-url-aliases`;
  interface Foreign {
    readonly jobId: string;
    readonly execId: string;
    readonly tokenId: string;
    readonly sshKeyId: string;
    readonly linkId: string;
  }
  const hidden =
    (path: (foreign: Foreign) => string, body?: unknown, method = body === undefined ? "GET" : "POST") =>
    async (client: ApiClient, foreign: Foreign) => {
      const reply = await client.call(method, path(foreign), body);
      assert.equal(reply.status, 404, path(foreign));
    };
  const lists = (path: string) => async (client: ApiClient, foreign: Foreign) => {
    const text = JSON.stringify((await client.call("GET", path)).body);
    for (const id of [foreign.jobId, foreign.tokenId, foreign.sshKeyId, "private.localhost"])
      assert.ok(!text.includes(id), path);
  };

  /** For each route: an account must not see or touch what is another's. A route without a case does not compile. */
  const CASES: Readonly<Record<RouteName, (client: ApiClient, foreign: Foreign) => Promise<void>>> = {
    async submitJob(client, foreign) {
      const reply = await client.call("POST", JOBS, { script: "echo", type: "inline" });
      const { request_id } = reply.body as Body;
      assert.equal((await plane.admin.call("GET", `${JOBS}/${request_id}`)).status, 404);
      assert.notEqual(request_id, foreign.jobId);
    },
    listJobs: lists(JOBS),
    poolStatus: lists(`${JOBS}/pool-status`),
    async usage(client) {
      const fresh = await plane.addUser();
      const usage = (await fresh.client.call("GET", `${JOBS}/usage`)).body as Body;
      assert.equal(usage.total_jobs, 0);
      assert.equal((await client.call("GET", `${JOBS}/usage`)).status, 200);
    },
    getJob: hidden(({ jobId }) => `${JOBS}/${jobId}`),
    getStatus: hidden(({ jobId }) => `${JOBS}/${jobId}/status`),
    getLogs: hidden(({ jobId }) => `${JOBS}/${jobId}/logs?follow=1`),
    stopJob: hidden(({ jobId }) => `${JOBS}/${jobId}/stop`, {}),
    updateJob: hidden(({ jobId }) => `${JOBS}/${jobId}`, { labels: {} }, "PATCH"),
    sleepJob: hidden(({ jobId }) => `${JOBS}/${jobId}/sleep`, {}),
    wakeJob: hidden(({ jobId }) => `${JOBS}/${jobId}/wake`, {}),
    syncJob: hidden(({ jobId }) => `${JOBS}/${jobId}/sync`, {}),
    execInJob: hidden(({ jobId }) => `${JOBS}/${jobId}/exec`, { command: "true" }),
    async execStream(client, { jobId }) {
      assert.equal((await client.connect(`${JOBS}/${jobId}/exec`, { protocol: EXEC_PROTOCOL })).status, 404);
    },
    async execAttach(client, { execId }) {
      assert.equal((await client.connect(`${V1}/mags-execs/${execId}`, { protocol: EXEC_PROTOCOL })).status, 404);
    },
    enableAccess: hidden(({ jobId }) => `${JOBS}/${jobId}/access`, { port: 22 }),
    listEvents: hidden(({ jobId }) => `${JOBS}/${jobId}/events`),
    async uploadFiles(client, foreign) {
      const form = new FormData();
      form.append("file", new Blob(["private"]), "private.txt");
      const reply = await fetch(`${plane.url}${V1}/mags-files`, {
        method: "POST",
        body: form,
        headers: { authorization: `Bearer ${plane.adminToken}` },
      });
      const file_ids = ((await reply.json()) as Body).file_ids;
      assert.equal(file_ids.length, 1);
      const used = await client.call("POST", JOBS, { script: "echo", type: "inline", file_ids });
      assert.deepEqual([used.status, (used.body as Body).code], [400, "validation_failed"]);
      assert.notEqual(file_ids[0], foreign.jobId);
    },
    getFile: hidden(({ jobId }) => `${JOBS}/${jobId}/files?path=/etc/passwd`),
    headFile: hidden(({ jobId }) => `${JOBS}/${jobId}/files?path=/etc/passwd`, undefined, "HEAD"),
    putFile: hidden(({ jobId }) => `${JOBS}/${jobId}/files?path=x`, "content", "PUT"),
    removeFile: hidden(({ jobId }) => `${JOBS}/${jobId}/files?path=x`, undefined, "DELETE"),
    statFile: hidden(({ jobId }) => `${JOBS}/${jobId}/files/stat?path=/etc/passwd`),
    listFiles: hidden(({ jobId }) => `${JOBS}/${jobId}/files/list?path=/`),
    renameFile: hidden(({ jobId }) => `${JOBS}/${jobId}/files/rename?path=a&to=b`, {}),
    makeFolder: hidden(({ jobId }) => `${JOBS}/${jobId}/files/mkdir?path=a`, {}),
    getArchive: hidden(({ jobId }) => `${JOBS}/${jobId}/files/archive?path=/`),
    putArchive: hidden(({ jobId }) => `${JOBS}/${jobId}/files/archive?path=/`, "archive", "PUT"),
    listWorkspaces: lists(`${V1}/mags-workspaces`),
    deleteWorkspace: hidden(() => `${V1}/mags-workspaces/private`, undefined, "DELETE"),
    listWorkspaceVersions: hidden(() => `${V1}/mags-workspaces/private/versions`),
    diffWorkspaceVersions: hidden(() => `${V1}/mags-workspaces/private/versions/1/diff`),
    restoreWorkspace: hidden(() => `${V1}/mags-workspaces/private/restore`, { version: 1 }),
    async sshService(client) {
      assert.equal((await client.call("GET", `${V1}/ssh`)).status, 200);
    },
    async me(client) {
      assert.match(((await client.call("GET", `${V1}/me`)).body as Body).email, /^user/);
    },
    listTokens: lists(`${V1}/access-tokens`),
    async createToken(client) {
      const { token } = (await client.call("POST", `${V1}/access-tokens`, { name: "x" })).body as Body;
      const owner = await createApiClient(plane.url, token).call("GET", `${V1}/me`);
      assert.match((owner.body as Body).email, /^user/);
    },
    async deleteToken(client, { tokenId }) {
      assert.equal((await client.call("DELETE", `${V1}/access-tokens/${tokenId}`)).status, 404);
      const { tokens } = (await plane.admin.call("GET", `${V1}/access-tokens`)).body as Body;
      assert.ok(tokens.some((token: Body) => token.id === tokenId));
    },
    listSshKeys: lists(`${V1}/ssh-keys`),
    async challengeSshKey(client) {
      const { id } = (await client.call("GET", `${V1}/me`)).body as Body;
      assert.ok((await challengeFor(client, sshKey)).includes(id));
    },
    async addSshKey(client) {
      const body = { public_key: sshKey.line, challenge: await challengeFor(plane.admin, sshKey), signature: "x" };
      const reply = await client.call("POST", `${V1}/ssh-keys`, body);
      assert.match((reply.body as Body).error, /^challenge: is none of this account/);
    },
    removeSshKey: hidden(({ sshKeyId }) => `${V1}/ssh-keys/${sshKeyId}`, undefined, "DELETE"),
    listUrlAliases: lists(ALIASES),
    async createUrlAlias(client) {
      // The workspace is another's.
      const reply = await client.call("POST", ALIASES, { subdomain: "mine", workspace_id: "private" });
      assert.deepEqual([reply.status, (reply.body as Body).code], [404, "workspace_not_found"]);
      const taken = await (await plane.addUser()).client.call("POST", ALIASES, {
        subdomain: "private",
        workspace_id: "x",
      });
      assert.equal(taken.status, 404);
    },
    moveUrlAlias: hidden(() => `${ALIASES}/private`, { workspace_id: "private" }, "PUT"),
    async deleteUrlAlias(client) {
      assert.equal((await client.call("DELETE", `${ALIASES}/private`)).status, 404);
      const { aliases } = (await plane.admin.call("GET", ALIASES)).body as Body;
      assert.deepEqual(
        aliases.map(({ subdomain }: Body) => subdomain),
        ["private"],
      );
    },
    createUrlLink: hidden(({ jobId }) => `${JOBS}/${jobId}/url-links`, {}),
    listUrlLinks: hidden(({ jobId }) => `${JOBS}/${jobId}/url-links`),
    revokeUrlLink: hidden(({ jobId, linkId }) => `${JOBS}/${jobId}/url-links/${linkId}`, undefined, "DELETE"),
    urlTraffic: hidden(({ jobId }) => `${JOBS}/${jobId}/url-traffic`),
    async auditLog(client) {
      assert.equal((await client.call("GET", `${V1}/audit-log?all=1`)).status, 403);
      const { entries } = (await client.call("GET", `${V1}/audit-log?limit=1000`)).body as Body;
      const { id } = (await client.call("GET", `${V1}/me`)).body as Body;
      assert.ok(entries.every((entry: Body) => entry.account_id === id));
    },
  };

  let stranger: ApiClient;
  let foreign: Foreign;
  let sshKey: TestSshKey;
  after(() => sshKey[Symbol.asyncDispose]());
  before(async () => {
    ({ client: stranger } = await plane.addUser());
    const jobId = await submit({ script: "hang", name: "private", workspace_id: "private", persistent: true });
    const token = await call("POST", `${V1}/access-tokens`, { name: "private" });
    const execId = randomUUID();
    await waitFor(async () => (await call("GET", `${JOBS}/${jobId}`)).body.status === "running", { what: "the job" });
    const { socket } = await plane.admin.connect(`${JOBS}/${jobId}/exec`, { protocol: EXEC_PROTOCOL });
    socket.send(JSON.stringify({ type: "start", exec_id: execId, command: "sleep 100" }));
    await waitFor(() => plane.node.execs.count === 1, { what: "the command" });
    sshKey = await makeSshKey();
    const added = (await addSshKey(plane.admin, sshKey)).body as Body;
    await call("POST", `${JOBS}/${jobId}/access`, { port: 8080 });
    await call("POST", ALIASES, { subdomain: "private", workspace_id: "private" });
    const link = await call("POST", `${JOBS}/${jobId}/url-links`, {});
    foreign = { jobId, execId, tokenId: token.body.id, sshKeyId: added.id, linkId: link.body.id };
  });

  for (const [name, route] of Object.entries(ROUTES)) {
    const path = V1 + route.path.replace("{id}", "private").replace(/\{(exec|link)_id\}/, randomUUID());

    it(`answers 401 to ${name} without a token, or with a wrong one`, async () => {
      const wrong = `mags_${"A".repeat(43)}`;
      for (const authorization of [undefined, "Bearer", "Bearer nonsense", `Bearer ${wrong}`, `Basic ${wrong}`]) {
        const headers: Record<string, string> = authorization === undefined ? {} : { authorization };
        const reply = await createApiClient(plane.url).call(route.method, path, undefined, { headers });
        assert.equal(reply.status, 401);
        if (route.method !== "HEAD") assert.equal((reply.body as Body).code, "unauthenticated");
        assert.match(reply.headers.get("www-authenticate") ?? "", /^Bearer/);
      }
    });

    it(`keeps accounts apart in ${name}`, () => CASES[name as RouteName](stranger, foreign));
  }

  it("does not let names of other accounts through", async () => {
    assert.equal((await stranger.call("GET", `${JOBS}/private/status`)).status, 404);
  });
});
