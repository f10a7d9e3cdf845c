import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { chmod, readFile, stat } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { Secret, silentLogger, systemClock } from "@mags/core";
import { type EdgeUpstream, startEdgeServer } from "@mags/edge";
import { createSimulatedExecs, createSimulatedSockets, makeTempDir, type TempDir, waitFor } from "@mags/test-kit";
import { makeEdgeSecret } from "./commands/edge-secret.ts";
import { parseConfig, type ServerConfig } from "./config.ts";
import { readEdgeSecret } from "./edge-config.ts";
import { placesOf } from "./installation.ts";
import { serveEdge } from "./serve-edge.ts";
import { serverStatus } from "./server-process.ts";

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
        upstream: { host: "127.0.0.1", port, secret_file: secretFile },
      }),
      "magsd.json",
    );
  const deps = { clock: systemClock, log: silentLogger };
  const at = { host: "127.0.0.1" };

  function upstreamWith(hostKey: string): EdgeUpstream {
    const guests = { awaken: () => {} };
    return {
      node: { ...createSimulatedExecs(guests), ...createSimulatedSockets(guests) },
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
    const ended = serveEdge(deps, config, { signal: stopping.signal });
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
    const ready = await waitFor(
      async () => {
        const found = await status();
        return found?.state === "running" && found.ready ? found : null;
      },
      { what: "a ready edge" },
    );
    assert.equal(server.edges().length, 1);
    const client = connect(ready.ssh?.port ?? 0, "127.0.0.1");
    const [greeting] = (await once(client, "data")) as [Buffer];
    assert.match(greeting.toString(), /^SSH-2\.0-/);
    client.destroy();
    stopping.abort();
    await ended;
    assert.equal(await status(), undefined);
    await waitFor(() => server.edges().length === 0, { what: "the end of its connection" });
  });

  it("ends at once when it is asked to while it waits", async () => {
    const stopping = new AbortController();
    const ended = serveEdge(deps, configFor(1), { signal: stopping.signal });
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
    await assert.rejects(serveEdge(deps, configFor(1), { signal: AbortSignal.timeout(10_000) }), /chmod 600/);
    await assert.rejects(readEdgeSecret(join(dir.path, "none")), /edges in .*none cannot be used: ENOENT/);
    const short = { ...at, port: 0, secret: new Secret("short") };
    await assert.rejects(startEdgeServer({ upstream: upstreamWith(""), log: silentLogger }, short), /64 hexadecimal/);
  });
});
