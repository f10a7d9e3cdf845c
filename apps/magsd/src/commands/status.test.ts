import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { makeTempDir } from "@mags/test-kit";
import { parseConfig } from "../config.ts";
import { serveControlSocket } from "../control-socket.ts";
import { placesOf } from "../installation.ts";
import type { ServerStatus } from "../status.ts";
import { status } from "./status.ts";

/** What the command prints of a server that says this of itself. */
async function shown(of: object): Promise<{ readonly exitCode: number; readonly lines: readonly string[] }> {
  await using temp = await makeTempDir();
  const config = parseConfig(JSON.stringify({ data_dir: join(temp.path, "d") }), "magsd.json");
  await mkdir(config.data_dir);
  const told = {
    pid: 7,
    version: "1",
    started_at: "2026-01-01T00:00:00.000Z",
    state: "running",
    ...of,
  } as ServerStatus;
  await using _server = await serveControlSocket(placesOf(config).controlSocket, { "GET /status": async () => told });
  const lines: string[] = [];
  const print = (line: string) => void lines.push(line);
  const exitCode = await status({ config, print, configFile: "/nowhere", program: "/nowhere" }, { json: false });
  return { exitCode, lines };
}

const ssh = { host: "ssh.example.org", port: 2222, fingerprint: "SHA256:x", problem: null };

const urls = {
  ...{ port: 8443, plain_port: 8080, scheme: "https", domain: "apps.example.org", public_port: 443 },
  ...{ problem: null, certificate_problem: null, certificates_end: null, acme: null },
};

describe("magsd status", () => {
  const server = {
    ...{ role: "all", ready: true, checks: { ssh: "ok" }, api_url: "http://127.0.0.1:7777", edges: null },
    ...{ accelerator: "kvm", accelerator_reason: "works", database: { kind: "external", pid: null } },
    pool: { idle_vms: 0, busy_vms: 0, min_pool_size: 0, queued_jobs: 0 },
  };
  const edge = { role: "edge", upstream: "mags:7778" };
  const away = { ...edge, ready: false, checks: { server: "connect ECONNREFUSED" } };

  it("tells that nobody can sign in, and why, of a server that is ready all the same", async () => {
    const { exitCode, lines } = await shown({ ...server, ssh: { ...ssh, problem: "it has ended" } });
    assert.equal(exitCode, 0);
    assert.match(lines.join("\n"), /^SSH: +ssh\.example\.org, port 2222, .*; nobody can sign in: it has ended$/m);
    assert.match((await shown({ ...server, ssh })).lines.join("\n"), /^SSH: +ssh\.example\.org, .*SHA256:x$/m);
    assert.match((await shown({ ...server, ssh: null })).lines.join("\n"), /^SSH: +off$/m);
  });

  it("tells where URLs are taken, or that nobody is served, and why", async () => {
    const line = async (of: object) => /^URLs: +(.*)$/m.exec((await shown(of)).lines.join("\n"))?.[1];
    const at = "https://<name>.apps.example.org:443, port 8443, HTTP at port 8080";
    assert.equal(await line({ ...server, ssh, urls }), at);
    const ill = { ...urls, problem: "it has ended", certificate_problem: "those before are used" };
    assert.equal(
      await line({ ...server, ssh, urls: ill }),
      `${at}; nobody is served: it has ended; those before are used`,
    );
    assert.equal(await line({ ...server, ssh, urls: null }), "off");
    assert.equal(
      await line({ ...edge, ready: true, checks: {}, ssh, urls: { ...urls, domain: null, plain_port: null } }),
      "https, port 8443",
    );
    assert.equal(await line({ ...away, ssh: null, urls: null }), "not open: server: connect ECONNREFUSED");
  });

  it("tells until when certificates hold, and of those that an authority refuses", async () => {
    const line = async (of: object) =>
      /^TLS: +(.*)$/m.exec((await shown({ ...server, ssh, urls: { ...urls, ...of } })).lines.join("\n"))?.[1];
    assert.equal(await line({}), undefined);
    const certificates_end = "2026-12-31T10:00:00.000Z";
    assert.equal(await line({ certificates_end }), "files until 2026-12-31");
    const acme = {
      ...{ valid: 12, expired: 1, missing: 1, first_end: { host: "shop.example.org", at: "2026-12-20T08:00:00.000Z" } },
      ...{ failing: 0, newest_failure: null, ending: 0, first_ending: null },
    };
    const well = "ACME for 12 of 14 aliases, first until 2026-12-20 (shop.example.org)";
    assert.equal(await line({ acme }), well);
    const newest_failure = { host: "a.example.org", at: "2026-11-01T00:00:00.000Z", problem: "404" };
    assert.equal(
      await line({ certificates_end, acme: { ...acme, failing: 2, newest_failure } }),
      `files until 2026-12-31; ${well}; 2 failing, newest a.example.org: 404`,
    );
  });

  it("tells why the SSH of an edge is not open yet, which is not off", async () => {
    const { exitCode, lines } = await shown({ ...away, ssh: null });
    assert.equal(exitCode, 1);
    assert.match(lines.join("\n"), /^SSH: +not open yet: server: connect ECONNREFUSED$/m);
    const later = await shown({ ...away, ssh: { ...ssh, problem: "the server is away: connect ECONNREFUSED" } });
    assert.match(later.lines.join("\n"), /^SSH: .*; nobody can sign in: the server is away: connect ECONNREFUSED$/m);
  });
});
