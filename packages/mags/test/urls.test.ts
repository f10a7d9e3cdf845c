import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { after, afterEach, before, describe, it } from "node:test";
import { Mags } from "../src/sdk/index.ts";
import { type CliBench, createCliBench } from "./cli-process.ts";
import { type ScriptedApi, send, startScriptedApi, TOKEN } from "./scripted-api.ts";

let api: ScriptedApi;
let cli: CliBench;
let mags: Mags;
let web: Server | undefined;

before(async () => {
  api = await startScriptedApi();
  cli = await createCliBench(api);
  mags = new Mags({ apiToken: TOKEN, apiUrl: api.url });
});
after(async () => {
  await cli[Symbol.asyncDispose]();
  await api[Symbol.asyncDispose]();
});
afterEach(() => {
  api.intercept = () => false;
  web?.close();
  web = undefined;
});

const URL_OF_BOX = "http://0123456789ab.localhost:7780";
const ALIAS = {
  ...{ id: "5f0d1c7e-2f0c-4b5e-9f5e-8d5e0f6f7a8b", subdomain: "shop", domain: "localhost", workspace_id: "box" },
  ...{
    url: "http://shop.localhost:7780",
    created_at: "2026-01-02T03:04:05.000Z",
    updated_at: "2026-01-02T03:04:05.000Z",
  },
};
const LINK = {
  ...{ id: "8a1f0c52-6c39-4b0e-9a37-3b1f9f1c2d3e", port: 3000, created_at: "2026-01-02T03:04:05.000Z" },
  ...{ expires_at: "2026-01-02T05:04:05.000Z", revoked_at: null },
};
const TRAFFIC = {
  counters: {
    ...{ requests: 3, bytes_in: 0, bytes_out: 2048, by_status: { "2xx": 2, "5xx": 1 } },
    ...{ duration_ms_sum: 12, duration_ms_buckets: [] },
  },
  entries: [
    {
      ...{ id: 7, at: "2026-01-02T03:04:05.000Z", host: "shop.localhost", client_address: "198.51.100.7" },
      ...{ method: "GET", path: "/\u001b[2J", status: 200, duration_ms: 12.3, bytes_in: 0, bytes_out: 1024 },
    },
  ],
};

/** Answers such requests so. @returns what was asked */
function answer(method: string, path: RegExp, body: unknown) {
  const seen: { readonly path: string; readonly query: string; readonly body: unknown }[] = [];
  api.intercept = (request, reply) => {
    if (request.method !== method || !path.test(request.path)) return false;
    seen.push({ path: request.path.replace("/api/v1", ""), query: `${request.query}`, body: request.body });
    send(reply, 200, body);
    return true;
  };
  return seen;
}

/** What a URL leads to. */
async function serve(listener: RequestListener): Promise<void> {
  web = createServer(listener).listen(0, "127.0.0.1");
  await once(web, "listening");
  api.web = `http://0123456789ab.localhost:${(web.address() as AddressInfo).port}`;
}

async function startBox(script = "sleep 100"): Promise<void> {
  api.web = URL_OF_BOX;
  api.play = () => {};
  await mags.run(script, { name: "box", workspaceId: "box", persistent: true });
}

describe("mags url", () => {
  before(() => startBox());

  it("prints the URL of a port", async () => {
    const { stdout, code } = await cli.run(["url", "box", "3000"]);
    assert.deepEqual([stdout.toString(), code], [`URL: ${URL_OF_BOX}\n`, 0]);
    assert.deepEqual(api.requests.at(-1)?.body, { port: 3000 });
    await cli.run(["url", "box"]);
    assert.deepEqual(api.requests.at(-1)?.body, { port: 8080 });
    assert.deepEqual(JSON.parse((await cli.run(["url", "box", "--json"])).stdout.toString()).url, URL_OF_BOX);
  });

  it("makes it private, or public, where it leads", async () => {
    const job = api.jobs.at(-1);
    assert.ok(job);
    job.status.url_port = 3000;
    const { stderr } = await cli.run(["url", "box", "--private"]);
    assert.match(stderr.toString(), /mags url link box/);
    assert.deepEqual(api.requests.at(-1)?.body, { port: 3000, private: true });
    await cli.run(["url", "box", "--public"]);
    assert.deepEqual(api.requests.at(-1)?.body, { port: 3000, private: false });
  });

  it("makes, lists, moves and removes aliases", async () => {
    let seen = answer("POST", /aliases/, ALIAS);
    assert.equal((await cli.run(["url", "alias", "shop", "box"])).stdout.toString(), `URL: ${ALIAS.url}\n`);
    assert.deepEqual(seen[0]?.body, { subdomain: "shop", workspace_id: "box" });
    seen = answer("PUT", /aliases/, ALIAS);
    const moved = await cli.run(["url", "alias", "move", "shop", "other", "--domain", "example.org"]);
    assert.equal(moved.stdout.toString(), `${ALIAS.url} leads to box\n`);
    assert.deepEqual(seen, [
      { path: "/mags-url-aliases/shop", query: "", body: { workspace_id: "other", domain: "example.org" } },
    ]);
    answer("GET", /aliases/, { aliases: [ALIAS], total: 1 });
    assert.match(
      (await cli.run(["url", "alias", "list"])).stdout.toString(),
      /shop +box +http:\/\/shop\.localhost:7780/,
    );
    seen = answer("DELETE", /aliases/, { success: true, message: "Alias shop removed" });
    assert.equal((await cli.run(["url", "alias", "remove", "shop"])).stdout.toString(), "Alias shop removed\n");
    assert.equal(seen[0]?.path, "/mags-url-aliases/shop");
  });

  it("makes, lists and revokes links", async () => {
    let seen = answer("POST", /url-links/, { ...LINK, url: `${URL_OF_BOX}/?mags-access=t`, token: "t" });
    const { stdout, stderr } = await cli.run(["url", "link", "box", "--expires", "2h", "--port", "3000"]);
    assert.equal(stdout.toString(), `URL: ${URL_OF_BOX}/?mags-access=t\n`);
    assert.match(stderr.toString(), /mags-access: t\n/);
    assert.deepEqual(seen[0]?.body, { port: 3000, expires_in_seconds: 7200 });
    answer("GET", /url-links/, { links: [LINK], total: 1 });
    assert.match((await cli.run(["url", "links", "box"])).stdout.toString(), new RegExp(`${LINK.id} +3000`));
    seen = answer("DELETE", /url-links/, { success: true, message: "The link was revoked" });
    assert.equal((await cli.run(["url", "revoke", "box", LINK.id])).code, 0);
    assert.equal(seen[0]?.path, `/mags-jobs/box/url-links/${LINK.id}`);
  });

  it("shows what was asked, as strangers wrote it but for what moves a cursor", async () => {
    const seen = answer("GET", /url-traffic/, TRAFFIC);
    const { stdout, stderr } = await cli.run(["url", "log", "box", "-n", "5"]);
    assert.match(
      stdout.toString(),
      /200 {2}GET shop\.localhost\/\?\[2J {2}12ms {2}0 B in, 1\.0 KiB out {2}198\.51\.100\.7\n/,
    );
    assert.match(stderr.toString(), /In all 3 requests \(2xx: 2, 5xx: 1\), 0 B in, 2\.0 KiB out/);
    assert.equal(seen[0]?.query, "limit=5");
  });
});

describe("mags run --url", () => {
  before(() => {
    api.play = () => {};
  });

  it("returns with the URL when what listens there answers, and leaves the script", async () => {
    let asked = 0;
    await serve((_request, reply) => {
      asked++;
      if (asked < 3) reply.writeHead(502, { "mags-error": "connection_refused" }).end('{"error":"nothing listens"}');
      else reply.end("hello");
    });
    api.play = (job) => void job.write("stdout", "starting\n");
    const { stdout, code } = await cli.run(["run", "-w", "site", "-p", "--url", "--port", "3000", "serve"]);
    assert.deepEqual([stdout.toString(), code], [`starting\nURL: ${api.web}\n`, 0]);
    assert.equal(api.jobs.at(-1)?.over, false);
    assert.ok(
      api.requests.some(({ path, body }) => path.endsWith("/access") && (body as { port: number }).port === 3000),
    );
  });

  it("waits for a server that its script has left behind", async () => {
    let isOver = false;
    await serve((_request, reply) => {
      if (isOver) reply.writeHead(404).end();
      else reply.writeHead(502, { "mags-error": "connection_refused" }).end();
    });
    api.play = (job) => {
      job.exit(0);
      setTimeout(() => {
        isOver = true;
      }, 300);
    };
    const { stdout, code } = await cli.run(["run", "-w", "site", "-p", "--url", "--json", "serve &"]);
    const { url, port, exit_code } = JSON.parse(stdout.toString());
    assert.deepEqual([url, port, exit_code, code], [api.web, 8080, 0, 0]);
  });

  it("ends as the script does that fails before", async () => {
    await serve((_request, reply) => void reply.writeHead(502, { "mags-error": "connection_refused" }).end());
    api.play = (job) => void job.write("stderr", "no such program\n").exit(127);
    const { stdout, stderr, code } = await cli.run(["run", "-w", "site", "-p", "--url", "serve"]);
    assert.deepEqual([stdout.toString(), code], ["", 127]);
    assert.match(stderr.toString(), /no such program/);
  });

  it("says why there can be no URL", async () => {
    api.play = () => {};
    api.intercept = (request, reply) => {
      if (!request.path.endsWith("/access")) return false;
      send(reply, 400, { error: "this server has no URLs", code: "not_supported" });
      return true;
    };
    const { stderr, code } = await cli.run(["run", "-w", "site", "-p", "--url", "serve"]);
    assert.match(stderr.toString(), /^error: this server has no URLs\n/m);
    assert.equal(code, 1);
  });
});
