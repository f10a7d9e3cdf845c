/** Commands on a machine that has an edge and no server. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { chmod, mkdir, readdir } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { silentLogger, systemClock } from "@mags/core";
import { type EdgeUpstream, startEdgeServer } from "@mags/edge";
import { makeTempDir, type TempDir, waitFor } from "@mags/test-kit";
import { parseConfig, type ServerConfig } from "../config.ts";
import { readEdgeSecret } from "../edge-config.ts";
import { placesOf } from "../installation.ts";
import { serveEdge } from "../serve-edge.ts";
import { serverStatus } from "../server-process.ts";
import { doctor } from "./doctor.ts";
import { makeEdgeSecret } from "./edge-secret.ts";
import { uninstall } from "./uninstall.ts";

const gateway = join(import.meta.dirname, "../gateway/gateway-program.ts");

describe("on an edge", () => {
  let temp: TempDir;
  let secretFile: string;
  beforeEach(async () => {
    temp = await makeTempDir();
    secretFile = join(temp.path, "edge.secret");
    await makeEdgeSecret(secretFile, () => {});
  });
  afterEach(() => temp[Symbol.asyncDispose]());

  function contextWith(port: number, sshPort = 0) {
    const lines: string[] = [];
    const config: ServerConfig = parseConfig(
      JSON.stringify({
        ...{ role: "edge", data_dir: join(temp.path, "d"), ssh: { listen: { port: sshPort }, job_ports: null } },
        urls: { listen: { port: 0 } },
        upstream: { host: "127.0.0.1", port, secret_file: secretFile },
      }),
      "magsd.json",
    );
    const print = (line: string) => void lines.push(line);
    return { lines, context: { config, print, configFile: join(temp.path, "magsd.json"), program: "/nowhere" } };
  }

  async function diagnosis(port: number, sshPort?: number) {
    const { lines, context } = contextWith(port, sshPort);
    const exitCode = await doctor({ print: context.print, load: async () => context }, { json: false });
    return { exitCode, text: lines.join("\n") };
  }

  it("doctor looks at the folder, the secret, the port and the server", async () => {
    const upstream = {} as EdgeUpstream; // nobody asks it for anything
    const secret = await readEdgeSecret(secretFile);
    let port: number;
    {
      await using server = await startEdgeServer(
        { upstream, log: silentLogger },
        { host: "127.0.0.1", port: 0, secret },
      );
      port = server.port;
      const well = await diagnosis(port);
      assert.equal(well.exitCode, 0, well.text);
      for (const line of [
        ...[/^ok +data_dir: .* will be made$/m, /^ok +secret: /m, /^ok +SSH: .* is free$/m],
        /^ok +URLs: .* is free$/m,
      ])
        assert.match(well.text, line);
      assert.match(well.text, /^ok +server: 127\.0\.0\.1:\d+ answers$/m);
    }
    await using taken = createServer().listen(0, "127.0.0.1");
    await once(taken, "listening");
    await chmod(secretFile, 0o644);
    const ill = await diagnosis(port, (taken.address() as { port: number }).port);
    assert.equal(ill.exitCode, 1);
    assert.match(ill.text, /^FAIL +secret: .*chmod 600/m);
    assert.match(ill.text, /^FAIL +SSH: .*EADDRINUSE/m);
    await chmod(secretFile, 0o600);
    const alone = await diagnosis(port);
    assert.match(alone.text, /^FAIL +server: 127\.0\.0\.1:\d+ cannot be reached: .*ECONNREFUSED[\s\S]*edges\.listen/m);
  });

  it("doctor tells of one that runs without its server, and uninstall removes what is its own", async () => {
    const { lines, context } = contextWith(1);
    const stopping = new AbortController();
    const ended = serveEdge({ clock: systemClock, log: silentLogger }, context.config, {
      gateway,
      signal: stopping.signal,
    });
    await waitFor(async () => (await serverStatus(placesOf(context.config)))?.state === "running", { what: "an edge" });
    assert.match((await diagnosis(1)).text, /^FAIL +edge: .* is not ready: server: .*ECONNREFUSED/m);
    stopping.abort();
    await ended;
    await assert.rejects(uninstall(context, { yes: false }), /this deletes all data in .*--yes/);
    await mkdir(join(context.config.data_dir, "left"));
    await uninstall(context, { yes: true });
    assert.deepEqual(await readdir(temp.path), ["edge.secret"]);
    assert.match(lines.join("\n"), /^removed .*\/d$[\s\S]*opt\/mags is left alone[\s\S]*edge\.secret is left alone/m);
  });
});
