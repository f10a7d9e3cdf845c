import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { chmod, readFile, stat, writeFile } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { AppError, isAppError, Secret, silentLogger, systemClock } from "@mags/core";
import type { UrlRegister } from "@mags/domain";
import { type EdgeUpstream, startEdgeServer } from "@mags/edge";
import { createSimulatedExecs, createSimulatedSockets, makeTempDir, type TempDir, waitFor } from "@mags/test-kit";
import { makeEdgeSecret } from "./commands/edge-secret.ts";
import { parseConfig, type ServerConfig } from "./config.ts";
import { readEdgeSecret } from "./edge-config.ts";
import { placesOf } from "./installation.ts";
import { serveEdge } from "./serve-edge.ts";
import { serverStatus } from "./server-process.ts";

const gateway = join(import.meta.dirname, "gateway/gateway-program.ts");
const UID = 1_910_000_001;

describe("serveEdge", () => {
  let dir: TempDir;
  let secretFile: string;
  beforeEach(async () => {
    dir = await makeTempDir();
    secretFile = join(dir.path, "edge.secret");
    await makeEdgeSecret(secretFile, () => {});
  });
  afterEach(() => dir[Symbol.asyncDispose]());

  const configFor = (port: number): ServerConfig =>
    parseConfig(
      JSON.stringify({
        ...{ role: "edge", data_dir: join(dir.path, "d"), ssh: { listen: { port: 0 } } },
        urls: { listen: { port: 0 } },
        upstream: { host: "127.0.0.1", port, secret_file: secretFile },
      }),
      "magsd.json",
    );
  const deps = { clock: systemClock, log: silentLogger };
  const at = { host: "127.0.0.1" };

  const urls: UrlRegister = {
    route: () => Promise.reject(new AppError("url_not_found", "nothing is called so")),
    certificate: async () => null,
    challenge: async () => null,
    areOf: async (hosts) => hosts.map(() => false),
    note() {},
  };

  function upstreamWith(hostKey: string): EdgeUpstream {
    const guests = { awaken: () => {} };
    return {
      node: { ...createSimulatedExecs(guests), ...createSimulatedSockets(guests) },
      urls,
      directory: {
        hostKey: async () => new Secret(hostKey),
        find: async () => null,
        guest: () => Promise.reject(new Error("nobody signs in")),
        untilOver: () => new Promise(() => {}),
        note() {},
        watchPorts: () => () => {},
      },
    };
  }

  it("waits for its server and says so, serves SSH when it is there, and ends when it is asked to", async () => {
    const keyFile = join(dir.path, "host");
    execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", keyFile]);
    const upstream = upstreamWith(await readFile(keyFile, "utf8"));
    const [reserved, stopping] = [createServer().listen(0, "127.0.0.1"), new AbortController()];
    await once(reserved, "listening");
    const { port } = reserved.address() as { port: number };
    await once(reserved.close(), "close");
    const config = configFor(port);
    const ended = serveEdge(deps, config, { gateway, signal: stopping.signal });
    const status = () => serverStatus(placesOf(config));
    const alone = await waitFor(
      async () => {
        const found = await status();
        return found?.state === "running" && found.role === "edge" && /ECONNREFUSED/.test(found.checks.server ?? "")
          ? found
          : null;
      },
      { what: "an edge without its server" },
    );
    assert.deepEqual([alone.ready, alone.ssh, alone.upstream], [false, null, `127.0.0.1:${port}`]);

    await using server = await startEdgeServer(
      { upstream, log: silentLogger },
      { ...at, port, secret: await readEdgeSecret(secretFile) },
    );
    const readyNow = async () => {
      const found = await status();
      return found?.state === "running" && found.ready ? found : null;
    };
    const ready = await waitFor(readyNow, { what: "a ready edge", deadlineMs: 60_000 });
    assert.equal(server.edges().length, 1);
    const pidOf = async () => Number(JSON.parse(await readFile(placesOf(config).gatewayProcess, "utf8")).pid);
    const pid = await pidOf();
    assert.match(await readFile(`/proc/${pid}/status`, "utf8"), new RegExp(`^Uid:(\\s+${UID}){4}$`, "m"));
    assert.match(await readFile(`/proc/${pid}/status`, "utf8"), /^Groups:\s*$/m);
    process.kill(pid, "SIGKILL");
    await waitFor(async () => (await pidOf()) !== pid && (await readyNow()), {
      what: "another gateway",
      deadlineMs: 60_000,
    });
    const client = connect(ready.ssh?.port ?? 0, "127.0.0.1");
    const [greeting] = (await once(client, "data")) as [Buffer];
    assert.match(greeting.toString(), /^SSH-2\.0-/);
    client.destroy();
    stopping.abort();
    await ended;
    assert.equal(await status(), undefined);
    await waitFor(() => server.edges().length === 0, { what: "the end of its connection" });
  });

  it("serves URLs alone where SSH is off, and says what its server does not serve", async () => {
    const secret = await readEdgeSecret(secretFile);
    const upstream = { ...upstreamWith(""), directory: null };
    await using server = await startEdgeServer({ upstream, log: silentLogger }, { ...at, port: 0, secret });
    const config = configFor(server.port);
    const signal = AbortSignal.timeout(60_000);
    await assert.rejects(serveEdge(deps, config, { gateway, signal }), /this server serves no SSH/);
    const stopping = new AbortController();
    const without = { ...config, ssh: { ...config.ssh, enabled: false } };
    const ended = serveEdge(deps, without, { gateway, signal: stopping.signal });
    const found = await waitFor(
      async () => {
        const now = await serverStatus(placesOf(config));
        return now?.state === "running" && now.ready ? now : null;
      },
      { what: "a ready edge" },
    );
    assert.deepEqual([found.ssh, found.urls?.domain, found.urls?.problem], [null, null, null]);
    const answer = await fetch(`http://127.0.0.1:${found.urls?.port}/`);
    assert.deepEqual(
      [answer.status, await answer.json()],
      [404, { error: "nothing is called so", code: "url_not_found" }],
    );
    stopping.abort();
    await ended;
  });

  it("ends at once when it is asked to while it waits", async () => {
    const stopping = new AbortController();
    const ended = serveEdge(deps, configFor(1), { gateway, signal: stopping.signal });
    await waitFor(() => serverStatus(placesOf(configFor(1))), { what: "its status" });
    stopping.abort();
    await ended;
  });

  it("takes no secret that others may read, or that is none", async () => {
    assert.equal((await stat(secretFile)).mode & 0o777, 0o600);
    await assert.rejects(
      makeEdgeSecret(secretFile, () => {}),
      /is there already/,
    );
    await chmod(secretFile, 0o640);
    await assert.rejects(serveEdge(deps, configFor(1), { gateway, signal: AbortSignal.timeout(10_000) }), /chmod 600/);
    await assert.rejects(readEdgeSecret(join(dir.path, "none")), /edges in .*none cannot be used: ENOENT/);
    await writeFile(secretFile, "short", { mode: 0o600 });
    await chmod(secretFile, 0o600);
    const refused = serveEdge(deps, configFor(1), { gateway, signal: AbortSignal.timeout(60_000) });
    await assert.rejects(refused, (error: unknown) => {
      assert.ok(isAppError(error, "validation_failed"));
      assert.match(error.message, /64 hexadecimal/);
      return true;
    });
    const short = { ...at, port: 0, secret: new Secret("short") };
    await assert.rejects(startEdgeServer({ upstream: upstreamWith(""), log: silentLogger }, short), /64 hexadecimal/);
  });
});
