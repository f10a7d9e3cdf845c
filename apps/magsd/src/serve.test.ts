import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { type EmbeddedPostgres, isAlive, readProcess } from "@mags/control-plane";
import { AppError, silentLogger, systemClock, untilAborted } from "@mags/core";
import type { Images, Node } from "@mags/node";
import { createApiClient, createSimulatedNode, makeTempDir, type TempDir, waitFor } from "@mags/test-kit";
import { parseConfig, type ServerConfig } from "./config.ts";
import { callControlSocket } from "./control-socket.ts";
import { placesOf } from "./installation.ts";
import { partsOf, type ServerParts } from "./parts.ts";
import { serve } from "./serve.ts";
import { openSsh } from "./ssh.ts";
import type { ServerStatus } from "./status.ts";
import { openUrls } from "./urls.ts";

const ARTIFACTS = process.env.MAGS_ARTIFACTS ?? "/var/cache/mags/artifacts.json";

describe("serve", () => {
  let dir: TempDir;
  let config: ServerConfig;
  /** What was closed, in order. */
  let closed: string[];
  beforeEach(async () => {
    dir = await makeTempDir();
    const keys = {
      data_dir: join(dir.path, "d"),
      artifacts: ARTIFACTS,
      listen: { port: 0 },
      ssh: { listen: { port: 0 } },
      urls: { listen: { port: 0 } },
    };
    config = parseConfig(JSON.stringify(keys), "magsd.json");
    closed = [];
  });
  afterEach(() => dir[Symbol.asyncDispose]());

  const deps = { clock: systemClock, log: silentLogger };
  const ask = <T>(method: "GET" | "POST", target: string) =>
    callControlSocket<T>(placesOf(config).controlSocket, method, target, 10_000);
  const status = () => ask<ServerStatus>("GET", "/status");
  const untilState = (state: ServerStatus["state"]) =>
    waitFor(async () => (await status())?.state === state, { what: `a server that is ${state}`, deadlineMs: 60_000 });

  function nodeOf(own: Partial<Node> = {}): Node {
    return {
      ...createSimulatedNode(),
      images: {} as Images, // nobody asks for them
      checkReady() {},
      footprint: () => ({ microVms: [], preparedIndexes: [], work: [], execs: [], outcomes: [], sandboxes: [] }),
      async claim() {},
      async close() {
        closed.push("node");
      },
      ...own,
    };
  }

  /** A database server that is never asked for anything but its end. */
  const databaseServer = {
    stop: async () => {
      closed.push("database");
    },
  } as Partial<EmbeddedPostgres> as EmbeddedPostgres;

  /** In this process. Its problem is the one of `state`. */
  const gatewayWith =
    (state: { readonly problem: string | null }): ServerParts["openGateway"] =>
    async ({ directory, node }) => {
      const gateway = directory && (await openSsh({ directory, node, log: silentLogger }, config.ssh));
      return {
        ssh: gateway && { port: gateway.port, fingerprint: gateway.fingerprint },
        ...{ urls: null, certificateProblem: null, certificatesEnd: null },
        get problem() {
          return state.problem;
        },
        [Symbol.asyncDispose]: async () => gateway?.[Symbol.asyncDispose](),
      };
    };

  function start(parts: Partial<ServerParts>) {
    const stopping = new AbortController();
    const embedded = partsOf(deps, config, { program: "/nowhere", gateway: "/nowhere", configFile: "/nowhere" });
    const all: ServerParts = {
      ...{ ...embedded, openNode: async () => nodeOf() },
      openGateway: gatewayWith({ problem: null }),
      ...parts,
    };
    const ended = serve({ ...deps, parts: all }, config, { signal: stopping.signal });
    ended.catch(() => {}); // awaited later
    return { ended, stopping };
  }

  it("says that it starts, and gives the start up when it is told to stop", async () => {
    const { ended } = start({
      openDatabaseServer: async () => databaseServer,
      openNode: ({ signal }) => untilAborted(new Promise<never>(() => {}), signal),
    });
    await untilState("starting");
    await assert.rejects(ask("POST", "/token"), /magsd is starting/);
    assert.deepEqual(await ask("POST", "/stop"), { pid: process.pid, jobs: 0 });
    await ended;
    assert.deepEqual(closed, ["database"]);
    assert.equal(await status(), undefined);
  });

  it("passes a signal on to the start of the database", async () => {
    const { ended, stopping } = start({
      openDatabaseServer: ({ signal }) => untilAborted(new Promise<never>(() => {}), signal),
    });
    await untilState("starting");
    stopping.abort();
    await ended;
    assert.deepEqual(closed, ["node"]);
  });

  it("closes the database when the node cannot be opened", async () => {
    const { ended } = start({
      openDatabaseServer: async () => databaseServer,
      openNode: () => Promise.reject(new AppError("unavailable", "no node")),
    });
    await assert.rejects(ended, /^AppError: no node$/);
    assert.deepEqual(closed, ["database"]);
  });

  it("shows readiness as it is, and ends its database also when the node cannot be closed", async () => {
    let ill = false;
    const node = nodeOf({
      checkReady() {
        if (ill) throw new AppError("unavailable", "no VM can be made");
      },
      close: () => Promise.reject(new Error("cannot close")),
    });
    const { ended, stopping } = start({ openNode: async () => node });
    await untilState("running");
    const found = await status();
    assert.ok(found?.state === "running" && found.role === "all" && found.ready);
    ill = true;
    const later = await status();
    assert.ok(later?.state === "running" && later.role === "all" && !later.ready);
    assert.deepEqual(later.checks, { database: "ok", node: "no VM can be made", ssh: "ok", urls: "ok" });
    const postgres = await readProcess(found.database.pid ?? 0);
    assert.ok(postgres);
    stopping.abort();
    await assert.rejects(ended, /cannot close/);
    assert.equal(await isAlive(postgres), false);
    assert.equal(await status(), undefined);
  });

  it("takes SSH connections, says where, and ends them before the node", async () => {
    const { ended, stopping } = start({ openNode: async () => nodeOf() });
    await untilState("running");
    const found = await status();
    assert.ok(found?.state === "running" && found.ssh);
    assert.equal(found.ssh.host, "127.0.0.1");
    assert.match(found.ssh.fingerprint, /^SHA256:[A-Za-z0-9+/]{43}$/);
    const client = connect(found.ssh.port, "127.0.0.1");
    client.on("close", () => closed.push("ssh"));
    const [greeting] = await once(client, "data");
    assert.match(String(greeting), /^SSH-2\.0-OpenSSH_9\.6 Mags\r\n/);
    stopping.abort();
    await ended;
    assert.deepEqual(closed, ["ssh", "node"]);
  });

  it("stays ready while its gateway is down, and says that in its status, readiness and metrics", async () => {
    const state: { problem: string | null } = { problem: null };
    const { ended, stopping } = start({ openNode: async () => nodeOf(), openGateway: gatewayWith(state) });
    await untilState("running");
    const now = async () => {
      const found = await status();
      assert.ok(found?.state === "running" && found.role === "all" && found.ready && found.ssh);
      const readiness = await fetch(`${found.api_url}/readyz`);
      assert.equal(readiness.status, 200);
      assert.deepEqual(await readiness.json(), { ready: true, checks: found.checks });
      const metrics = await (await fetch(`${found.api_url}/metrics`)).text();
      return { problem: found.ssh.problem, ssh: found.checks.ssh, metrics };
    };
    const well = await now();
    assert.deepEqual([well.problem, well.ssh], [null, "ok"]);
    assert.match(well.metrics, /^mags_check_ok\{check="ssh"\} 1$/m);
    state.problem = "it has ended";
    const ill = await now();
    assert.deepEqual([ill.problem, ill.ssh], ["it has ended", "it has ended"]);
    assert.match(ill.metrics, /^mags_check_ok\{check="ssh"\} 0$/m);
    assert.match(ill.metrics, /^mags_check_ok\{check="database"\} 1$/m);
    stopping.abort();
    await ended;
  });

  it("names the keys of the configuration when the port for SSH is taken, and takes none where it is off", async () => {
    await using taken = createServer().listen(0, "127.0.0.1");
    await once(taken, "listening");
    const { port } = taken.address() as { port: number };
    config = { ...config, ssh: { ...config.ssh, listen: { host: "127.0.0.1", port } } };
    await assert.rejects(
      start({ openNode: async () => nodeOf() }).ended,
      /cannot listen on 127\.0\.0\.1:\d+ for SSH: .*EADDRINUSE.*; set ssh\.listen/,
    );
    assert.deepEqual(closed, ["node"]);
    config = { ...config, ssh: { ...config.ssh, enabled: false } };
    const { ended, stopping } = start({ openNode: async () => nodeOf() });
    await untilState("running");
    const found = await status();
    assert.ok(found?.state === "running");
    assert.equal(found.ssh, null);
    stopping.abort();
    await ended;
  });

  it("takes URLs where the gateway says, and has no guest for a name that leads nowhere", async () => {
    const { ended, stopping } = start({
      openNode: async () => nodeOf(),
      async openGateway({ urls, node }) {
        assert.ok(urls);
        const gateway = await openUrls(
          { directory: urls, node, log: silentLogger },
          { config: config.urls, certificates: [] },
        );
        const { port, plainPort } = gateway;
        return Object.assign(gateway, {
          ssh: null,
          urls: { port, plainPort },
          problem: null,
          certificateProblem: null,
          certificatesEnd: null,
        });
      },
    });
    await untilState("running");
    const found = await status();
    assert.ok(found?.state === "running" && found.role === "all" && found.urls);
    const { port, public_port, scheme, domain } = found.urls;
    assert.deepEqual([public_port, scheme, domain, found.checks.urls], [port, "http", "localhost", "ok"]);
    const answer = await fetch(`http://127.0.0.1:${port}/`);
    assert.deepEqual([answer.status, ((await answer.json()) as { code: string }).code], [404, "url_not_found"]);
    stopping.abort();
    await ended;
  });

  it("tells who removes an image of the jobs that wait for an account's limit to run in it", async () => {
    config = { ...config, limits: { ...config.limits, account: { ...config.limits.account, vms: 1 } } };
    const users: (readonly string[])[] = [];
    const images = {
      remove: async (_, elsewhere) => void users.push(elsewhere?.() ?? []),
    } as Partial<Images> as Images;
    const { ended, stopping } = start({ openNode: async () => nodeOf({ images }) });
    await untilState("running");
    const token = await ask<{ token: string; api_url: string }>("POST", "/token");
    const api = createApiClient(token?.api_url ?? "", token?.token ?? "");
    const submit = async () =>
      (await api.call("POST", "/api/v1/mags-jobs", { script: "hang", type: "inline" })).body as { request_id: string };
    await submit();
    const waiting = await submit();
    for (const name of ["standard", "other"]) await ask("POST", `/images/remove?name=${name}`);
    assert.deepEqual(users, [[`job ${waiting.request_id}`], []]);
    stopping.abort();
    await ended;
  });

  it("ends all jobs when it is told to, and is the only one on its data directory", async () => {
    const node = nodeOf();
    const { ended } = start({ openNode: async () => node });
    await untilState("running");
    await assert.rejects(start({}).ended, /another magsd is using/);
    const found = await status();
    assert.ok(found?.state === "running" && found.role === "all");
    const token = await ask<{ token: string }>("POST", "/token");
    const api = createApiClient(found.api_url, token?.token ?? "");
    await api.call("POST", "/api/v1/mags-jobs", { script: "hang", type: "inline" });
    await waitFor(() => node.observe()[0]?.state === "running", { what: "the job to run" });
    assert.deepEqual(await ask("POST", "/stop?all=true"), { pid: process.pid, jobs: 1 });
    await ended;
    assert.ok(node.observe().every(({ state }) => state === "ended"));
    assert.deepEqual(closed, ["node"]);
  });
});
