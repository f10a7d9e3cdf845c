import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import { Agent } from "node:https";
import type { AddressInfo } from "node:net";
import { after, before, describe, it } from "node:test";
import { createSecureContext } from "node:tls";
import { type Pebble, startDns, startPebble, waitFor } from "@mags/test-kit";
import acme from "acme-client";
import { startTestServer, type TestServer } from "./support/database.ts";
import { startTestPlane, type TestPlane } from "./support/plane.ts";
import { type Body, sandboxTests } from "./support/sandboxes.ts";
import { ALIASES, URLS, urlTests } from "./support/urls.ts";

/** Until the operator's own certificate ends. */
const OWN_SECONDS = -86_400;
const { signal } = new AbortController();
const disposal = new AsyncDisposableStack();
let server: TestServer;
let plane: TestPlane;
let pebble: Pebble;
/** Asked by the authority about hosts, whichever it asks for. */
let checked = 0;

before(async () => {
  server = disposal.use(await startTestServer());
  const dns = disposal.use(await startDns());
  const web = createServer(async ({ headers, url = "" }, reply) => {
    checked++;
    const token = url.replace("/.well-known/acme-challenge/", "");
    const host = (headers.host ?? "").replace(/:\d+$/, "");
    if (host.startsWith("refused.")) return void reply.writeHead(404).end();
    const answer = await plane.plane.urls?.challenge({ host, token }, { signal });
    reply.writeHead(answer ? 200 : 404).end(answer);
  });
  await once(web.listen(0, "127.0.0.1"), "listening");
  disposal.defer(() => void web.close());
  pebble = disposal.use(await startPebble({ httpPort: (web.address() as AddressInfo).port, dnsPort: dns.port }));
  acme.axios.defaults.httpsAgent = new Agent({ ca: pebble.ca });
  const own = { directoryUrl: pebble.directoryUrl, email: "ops@example.com", onlyOwnDomains: false };
  const ownCertificatesEnd = () => new Date(Date.now() + OWN_SECONDS * 1000);
  plane = disposal.use(
    await startTestPlane(await server.database(), { urls: { ...URLS, acme: own, ownCertificatesEnd } }),
  );
});
after(() => disposal.disposeAsync());

const { call, idle } = sandboxTests(() => plane);
const { directory } = urlTests(() => plane);
const certificateOf = async (subdomain: string) => {
  const { aliases } = (await call("GET", ALIASES)).body;
  return aliases.find((alias: Body) => alias.subdomain === subdomain).certificate;
};

describe("certificates of aliases", () => {
  it("are had from an authority that checks the host", async () => {
    await idle("shop");
    const made = await call("POST", ALIASES, { subdomain: "shop", domain: "team.example", workspace_id: "shop" });
    assert.deepEqual(made.body.certificate, { expires_at: null, problem: null });
    const found = await waitFor(() => directory().certificate("shop.team.example", { signal }), {
      what: "the certificate",
      deadlineMs: 60_000,
    });
    const { certificate, key } = found;
    assert.equal(new X509Certificate(certificate).checkHost("shop.team.example"), "shop.team.example");
    createSecureContext({ cert: certificate, key: key.reveal() }); // they belong together
    assert.ok(checked > 0);
    const { expires_at, problem } = await certificateOf("shop");
    assert.equal(problem, null);
    assert.equal(new Date(expires_at).getTime(), new Date(new X509Certificate(certificate).validTo).getTime());
    const challenges = () => plane.database.run((db) => db.selectFrom("url_challenges").selectAll().execute());
    await waitFor(async () => (await challenges()).length === 0, { what: "what was published to be forgotten" });
  });

  it("are not asked for names that are each machine's own", async () => {
    const made = await call("POST", ALIASES, { subdomain: "local", workspace_id: "shop" });
    assert.equal(made.body.certificate, undefined);
    assert.equal(await directory().certificate("local.localhost", { signal }), null);
  });

  it("go with their aliases", async () => {
    await call("DELETE", `${ALIASES}/shop?domain=team.example`);
    await call("POST", ALIASES, { subdomain: "other", domain: "team.example", workspace_id: "shop" });
    await waitFor(async () => !(await directory().certificate("shop.team.example", { signal })), {
      what: "it to be gone",
    });
    const tries = await plane.database.run((db) => db.selectFrom("url_certificate_tries").selectAll().execute());
    const ofGone = tries.filter(({ host }) => host === "shop.team.example");
    assert.deepEqual(
      ofGone.map(({ issued, account_id }) => [issued, account_id]),
      [[true, (await plane.plane.accounts.ensureBootstrap()).id]], // it still counts
    );
  });

  it("that are refused are told of, and asked for again later", async () => {
    await call("POST", ALIASES, { subdomain: "refused", domain: "team.example", workspace_id: "shop" });
    const seen = await waitFor(
      async () => {
        const certificate = await certificateOf("refused");
        return certificate.problem !== null && certificate;
      },
      { what: "the failure", deadlineMs: 60_000 },
    );
    assert.match(seen.problem, /404/);
    assert.equal(seen.expires_at, null);
  });

  it("are summed up for the operator, in the metrics too", async () => {
    await waitFor(async () => (await certificateOf("other")).expires_at, { what: "that of the other" });
    const summary = (await plane.plane.certificates()) ?? assert.fail("there are none");
    assert.deepEqual(summary.names, {
      valid: { all: 1, failing: 0 },
      expired: { all: 0, failing: 0 },
      missing: { all: 1, failing: 1 },
    });
    assert.equal(summary.firstEnd?.host, "other.team.example");
    assert.equal(summary.newestFailure?.host, "refused.team.example");
    assert.match(summary.newestFailure.problem, /404/);
    const metrics = await (await fetch(`${plane.url}/metrics`)).text();
    for (const line of [
      'mags_url_certificates{state="valid",last_try="ok"} 1',
      'mags_url_certificates{state="missing",last_try="failed"} 1',
      'mags_url_certificate_tries_total{result="issued"} 2',
      'mags_url_certificate_tries_total{result="refused"} 1',
    ])
      assert.ok(metrics.includes(`${line}\n`), `${line} in ${metrics}`);
    const seconds = (source: string) =>
      Number(
        new RegExp(`^mags_url_certificates_first_end_seconds\\{source="${source}"\\} (.+)$`, "m").exec(metrics)?.[1],
      );
    const atMost = ((summary.firstEnd?.at.getTime() ?? 0) - Date.now()) / 1000;
    assert.ok(seconds("acme") > 0 && Math.abs(seconds("acme") - atMost) < 60, metrics);
    assert.ok(Math.abs(seconds("files") - OWN_SECONDS) < 600, metrics);
  });
});
