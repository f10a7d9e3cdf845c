import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { systemClock } from "@mags/core";
import type { UrlAccess } from "@mags/domain";
import { startDns, waitFor } from "@mags/test-kit";
import { createUrlStore } from "../src/sql/url-store.ts";
import { createUrlTrafficStore } from "../src/sql/url-traffic-store.ts";
import { startTestServer, type TestServer } from "./support/database.ts";
import { startTestPlane, type TestPlane } from "./support/plane.ts";
import { type Body, JOBS, KEPT, SYNCED, sandboxTests, WORKSPACES } from "./support/sandboxes.ts";
import { ALIASES, URLS, urlTests } from "./support/urls.ts";

let server: TestServer;
let plane: TestPlane;
/** What the clock of the control plane is ahead. */
let aheadMs = 0;
before(async () => {
  server = await startTestServer();
  const clock = { ...systemClock, now: () => new Date(Date.now() + aheadMs) };
  plane = await startTestPlane(await server.database(), { urls: URLS, clock });
});
after(async () => {
  await plane[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});

const { call, submit, idle, statusOf } = sandboxTests(() => plane);
const { access, link, route, refused, directory } = urlTests(() => plane);

describe("access to a port", () => {
  it("gives a URL that leads there, and nothing before", async () => {
    const { id, sandbox } = await idle("box");
    const { subdomain, url } = await statusOf(id);
    assert.equal(url, undefined);
    assert.match(await refused(`${subdomain}.localhost`), /^url_not_found: nothing here is called/);
    const first = await access("box", { port: 3000 });
    const address = `http://${subdomain}.localhost:7780`;
    assert.deepEqual(first, { success: true, port: 3000, url: address, subdomain, private: false });
    const { awakeMs, ...to } = await route(`${subdomain}.localhost`);
    assert.deepEqual([to.guest, to.port], [sandbox, 3000]);
    assert.ok(awakeMs !== null && awakeMs >= 0);
    assert.equal((await access(id)).port, 8080);
    assert.equal((await route(`${subdomain}.localhost`)).port, 8080);
    const status = await statusOf(id);
    assert.deepEqual([status.url, status.url_port, status.url_private], [address, 8080, false]);
  });

  it("wakes a job that sleeps, and URLs lead to one that does", async () => {
    const { id } = await idle("asleep");
    const { subdomain } = await access(id);
    await call("POST", `${JOBS}/${id}/sleep`);
    assert.equal((await route(`${subdomain}.localhost`)).awakeMs, null);
    await access(id);
    assert.equal((await statusOf(id)).status, "running");
  });

  it("is refused with the reason where there is nothing to reach", async () => {
    const refusal = async (job: string, body: unknown = {}) => {
      const reply = await call("POST", `${JOBS}/${job}/access`, body);
      return `${reply.status} ${reply.body.error}`;
    };
    await submit({ name: "once", script: "hang" });
    assert.match(await refusal("once"), /^400 .*only persistent jobs have URLs/);
    const { id } = await idle("over");
    const { subdomain } = await access(id);
    await call("POST", `${JOBS}/${id}/stop`);
    assert.match(await refusal(id), /^409 .*not running/);
    assert.match(await refused(`${subdomain}.localhost`), /^url_not_found/);
    plane.node.hold();
    await submit(KEPT("early"));
    assert.match(await refusal("early"), /^409 .*no VM associated with this job/);
    plane.node.release();
    assert.match(await refusal("box", { port: 0 }), /^400 /);
  });

  it("finds nothing under names of other forms, or domains", async () => {
    const { subdomain } = await access("box");
    for (const host of [
      subdomain,
      "localhost",
      "",
      `x.${subdomain}.localhost`,
      `${subdomain}.apps.example`,
      "127.0.0.1",
    ])
      assert.match(await refused(host), /^url_not_found/, host);
  });
});

describe("aliases", () => {
  const create = (fields: Readonly<Record<string, unknown>>) => call("POST", ALIASES, fields);

  it("lead to whichever persistent job the workspace has", async () => {
    const first = await idle("shop", { no_sync: false });
    const made = await create({ subdomain: "my-shop", workspace_id: "shop", domain: "apps.example" });
    assert.equal(made.status, 201);
    assert.deepEqual([made.body.url, made.body.domain], ["http://my-shop.localhost:7780", "localhost"]);
    assert.deepEqual(
      [(await route("my-shop.localhost")).guest, (await route("my-shop.localhost")).port],
      [first.sandbox, 8080],
    );
    await access("shop", { port: 5000 });
    assert.equal((await route("my-shop.localhost")).port, 5000);
    await call("POST", `${JOBS}/${first.id}/stop`);
    assert.match(await refused("my-shop.localhost"), /^job_not_running: .*its owner has to start it/);
    const second = await idle("shop", { no_sync: false });
    assert.notEqual(second.sandbox, first.sandbox);
    assert.equal((await route("my-shop.localhost")).guest, second.sandbox);
  });

  it("move at once, are listed and removed", async () => {
    const { sandbox } = await idle("second-shop");
    const moved = await call("PUT", `${ALIASES}/my-shop`, { workspace_id: "second-shop" });
    assert.deepEqual([moved.status, moved.body.workspace_id], [200, "second-shop"]);
    assert.equal((await route("my-shop.localhost")).guest, sandbox);
    const { body } = await call("GET", ALIASES);
    assert.deepEqual([body.total, body.aliases[0].subdomain], [1, "my-shop"]);
    assert.equal((await call("DELETE", `${ALIASES}/my-shop?domain=apps.example`)).status, 200);
    assert.equal((await call("DELETE", `${ALIASES}/my-shop`)).status, 404);
    assert.equal((await call("PUT", `${ALIASES}/my-shop`, { workspace_id: "shop" })).status, 404);
    assert.match(await refused("my-shop.localhost"), /^url_not_found/);
  });

  it("are refused where the name is taken, is none, or leads nowhere", async () => {
    await create({ subdomain: "taken", workspace_id: "shop" });
    const again = await create({ subdomain: "taken", workspace_id: "second-shop" });
    assert.equal(again.status, 409);
    assert.match(again.body.error, /already exists and leads to shop/);
    const { client } = await plane.addUser();
    const theirs = await client.call("POST", "/api/v1/mags-jobs", { script: "hang", type: "inline", ...KEPT("mine") });
    assert.equal(theirs.status, 202);
    const stolen = await client.call("POST", ALIASES, { subdomain: "taken", workspace_id: "mine" });
    assert.deepEqual([stolen.status, (stolen.body as Body).error], [409, "the alias taken.localhost already exists"]);
    for (const subdomain of ["", "-a", "a-", "A", "a.b", "a_b", "x".repeat(64), "0123456789ab"])
      assert.equal((await create({ subdomain, workspace_id: "shop" })).status, 400, subdomain);
    assert.equal((await create({ subdomain: "other", workspace_id: "nothing" })).status, 404);
    assert.equal((await create({ subdomain: "other", workspace_id: "shop", domain: "example.org" })).status, 403);
    assert.equal((await create({ subdomain: "other", workspace_id: "shop", domain: "no domain" })).status, 400);
  });

  it("may be in a domain that the operator allows all, or that a DNS record shows to be theirs", async () => {
    const made = await create({ subdomain: "wiki", domain: "team.example", workspace_id: "shop" });
    assert.deepEqual([made.status, made.body.url], [201, "http://wiki.team.example:7780"]);
    assert.equal((await route("wiki.team.example")).port, 8080);
    await using dns = await startDns();
    const ownDomains = { allowed: [], dns: true, dnsServers: [`127.0.0.1:${dns.port}`] };
    await using other = await startTestPlane(await server.database(), { urls: { ...URLS, ownDomains } });
    const ofOther = sandboxTests(() => other);
    await ofOther.idle("shop");
    const ask = () => ofOther.call("POST", ALIASES, { subdomain: "shop", domain: "example.org", workspace_id: "shop" });
    const refusal = await ask();
    assert.equal(refusal.status, 403);
    const [, name = "", text = ""] = /a TXT record (\S+) with the text (\S+),/.exec(refusal.body.error) ?? [];
    dns.records.set(name, text);
    assert.equal((await ask()).status, 201);
  });

  it("are so many of an account, which may ask for those that it has", async () => {
    const store = createUrlStore(plane.database);
    const { client, accountId } = await plane.addUser();
    await sandboxTests(
      () => plane,
      () => client,
    ).idle("w");
    const alias = (subdomain: string) => {
      const at = new Date();
      const id = randomUUID();
      return { id, accountId, domain: "localhost", subdomain, workspaceId: "w", createdAt: at, updatedAt: at };
    };
    const first = alias("first-of-two");
    assert.deepEqual(await store.addAlias(first, { most: 1 }), first);
    assert.equal(await store.addAlias(alias("second-of-two"), { most: 1 }), "too_many");
    assert.deepEqual(await store.addAlias(alias("first-of-two"), { most: 1 }), first);
  });

  it("go with their workspace when that is deleted", async () => {
    const id = await submit(SYNCED("doomed"));
    await waitFor(async () => (await statusOf(id)).exit_code !== undefined, { what: "its script to be over" });
    await create({ subdomain: "doomed", workspace_id: "doomed" });
    assert.equal((await call("DELETE", `${WORKSPACES}/doomed?force=1`)).status, 200);
    assert.match(await refused("doomed.localhost"), /^url_not_found/);
  });
});

describe("a private URL", () => {
  let host: string;
  before(async () => {
    await idle("secret");
    host = `${(await access("secret", { port: 3000, private: true })).subdomain}.localhost`;
  });

  it("is opened by a link to it, and by nothing else", async () => {
    assert.match(await refused(host), /^unauthenticated: this page is private: open it by a link/);
    const { token, url, port } = await link("secret");
    assert.deepEqual([url, port], [`http://${host}:7780/?mags-access=${token}`, 3000]);
    assert.equal((await route(host, token)).port, 3000);
    // Not its last digit, of which two bits mean nothing.
    const flipped = token.replace(/\../, (first: string) => (first === ".A" ? ".B" : ".A"));
    for (const wrong of ["", "x", `${token}x`, token.slice(1), flipped, `${token.split(".")[0]}.${"A".repeat(43)}`])
      assert.match(await refused(host, wrong), /^unauthenticated: .*does not open it/, wrong);
  });

  it("has whom it refuses in its log", async () => {
    const visitor = { clientAddress: "198.51.100.7", method: "GET", path: "/guess" };
    for (const pass of [null, "wrong"])
      await assert.rejects(directory().route({ host, pass, visitor }, { signal: new AbortController().signal }));
    const seen = await waitFor(
      async () => {
        const { entries } = (await call("GET", `${JOBS}/secret/url-traffic`)).body;
        return entries.length === 2 && entries;
      },
      { what: "both to be noted" },
    );
    assert.deepEqual(
      seen.map(({ status, path, client_address }: Body) => [status, path, client_address]),
      [
        [401, "/guess", "198.51.100.7"],
        [401, "/guess", "198.51.100.7"],
      ],
    );
  });

  it("is not opened by a link to another sandbox, or port", async () => {
    await idle("other-secret");
    await access("other-secret", { port: 3000, private: true });
    const { token } = await link("other-secret");
    assert.match(await refused(host, token), /^unauthenticated: .*does not open it/);
    const { token: ofPort } = await link("secret", { port: 4000 });
    assert.match(await refused(host, ofPort), /^unauthenticated/);
  });

  it("is opened by a link until that is revoked, or has expired", async () => {
    const { token, id } = await link("secret", { expires_in_seconds: 60 });
    const { body } = await call("GET", `${JOBS}/secret/url-links`);
    assert.ok(body.links.some((one: Body) => one.id === id && one.revoked_at === null));
    assert.ok(!JSON.stringify(body).includes(token));
    assert.equal((await call("DELETE", `${JOBS}/secret/url-links/${id}`)).status, 200);
    assert.match(await refused(host, token), /^unauthenticated: .*was revoked/);
    assert.equal((await call("DELETE", `${JOBS}/secret/url-links/${randomUUID()}`)).status, 404);
    assert.equal((await call("DELETE", `${JOBS}/box/url-links/${id}`)).status, 404);
    const late = await link("secret", { expires_in_seconds: 60 });
    await route(host, late.token);
    aheadMs = 61_000;
    try {
      assert.match(await refused(host, late.token), /^unauthenticated: .*has expired: ask for another/);
    } finally {
      aheadMs = 0;
    }
  });

  it("has so many links that hold", async () => {
    const { sandbox: sandboxId } = await idle("linked");
    const store = createUrlStore(plane.database);
    const at = (ms: number) => new Date(Date.now() + ms);
    const one = () => {
      const id = randomUUID();
      return { id, sandboxId, port: 80, createdAt: at(0), expiresAt: at(60_000), revokedAt: null };
    };
    const first = one();
    assert.equal(await store.addLink({ ...one(), createdAt: at(-9), expiresAt: at(-5) }, { most: 1 }), true);
    assert.equal(await store.addLink(first, { most: 1 }), true);
    assert.equal(await store.addLink(first, { most: 1 }), true, "the call was repeated");
    assert.equal(await store.addLink(one(), { most: 1 }), false);
    await store.revokeLink(sandboxId, first.id, at(0));
    assert.equal(await store.addLink(one(), { most: 1 }), true);
  });

  it("keeps no links that have expired", async () => {
    const count = async () =>
      plane.database.run(async (db) => (await db.selectFrom("url_links").select("id").execute()).length);
    await link("secret");
    const lasting = await link("secret", { expires_in_seconds: 200_000 });
    aheadMs = 100_000_000;
    try {
      await plane.plane.collectNow();
    } finally {
      aheadMs = 0;
    }
    assert.equal(await count(), 1);
    assert.equal((await route(host, lasting.token)).port, 3000);
  });

  it("becomes public, and private again, where it leads", async () => {
    const set = (isPrivate: boolean) => call("PATCH", `${JOBS}/secret`, { url_private: isPrivate });
    assert.equal((await set(false)).body.url_private, false);
    assert.equal((await route(host)).port, 3000);
    assert.equal((await set(true)).body.url_port, 3000);
    assert.match(await refused(host), /^unauthenticated/);
    const withMore = await call("PATCH", `${JOBS}/secret`, { url_private: false, disk_gb: 1 });
    assert.equal(withMore.status, 400, "disks do not shrink");
    assert.match(await refused(host), /^unauthenticated/);
    await submit({ name: "plain", script: "hang" });
    assert.equal((await call("PATCH", `${JOBS}/plain`, { url_private: true })).status, 400);
  });

  it("is as private when another VM has its workspace", async () => {
    const { id } = await idle("kept-secret", { no_sync: false });
    await access(id, { private: true });
    await call("POST", ALIASES, { subdomain: "kept-secret", workspace_id: "kept-secret" });
    await call("POST", `${JOBS}/${id}/stop`);
    const again = await idle("kept-secret", { no_sync: false });
    assert.equal((await statusOf(again.id)).url_private, true);
    assert.match(await refused("kept-secret.localhost"), /^unauthenticated/);
  });

  it("has no links before it is a URL", async () => {
    await idle("unasked");
    const { status, body } = await call("POST", `${JOBS}/unasked/url-links`, {});
    assert.deepEqual([status, body.code], [409, "url_not_enabled"]);
  });

  it("is opened through an alias as well", async () => {
    await call("POST", ALIASES, { subdomain: "hush", workspace_id: "secret" });
    assert.match(await refused("hush.localhost"), /^unauthenticated/);
    const { token } = await link("secret");
    assert.equal((await route("hush.localhost", token)).port, 3000);
  });
});

describe("whose a host is", () => {
  it("is known by its own name and its aliases, also when it is private or over, and of no other", async () => {
    const { id, sandbox } = await idle("owned", { no_sync: false });
    const other = await idle("not-owned");
    const { subdomain } = await statusOf(id);
    const [own, alias] = [`${subdomain}.localhost`, "owned.localhost"];
    const areOf = (...hosts: readonly string[]) =>
      directory().areOf(hosts.flatMap((host) => [sandbox, other.sandbox].map((guest) => ({ host, guest }))));
    assert.deepEqual(await areOf(own, alias), [false, false, false, false], "nobody has asked for access");
    await access(id, { private: true });
    await call("POST", ALIASES, { subdomain: "owned", workspace_id: "owned" });
    assert.deepEqual(await areOf(own, alias, `${subdomain}.example.org`, "owned", "\0.localhost"), [
      ...[true, false, true, false],
      ...[false, false, false, false, false, false],
    ]);
    await call("POST", `${JOBS}/${id}/stop`);
    assert.deepEqual(await areOf(own, alias), [true, false, true, false]);
    await call("PUT", `${ALIASES}/owned`, { workspace_id: "not-owned" });
    assert.deepEqual(await areOf(alias), [false, true]);
    assert.deepEqual(await directory().areOf([]), []);
  });
});

describe("what is asked of URLs", () => {
  const note = (guest: UrlAccess["guest"], change: Partial<UrlAccess> = {}) =>
    directory().note({
      ...{ atMs: Date.now(), host: "busy.localhost", guest, clientAddress: "198.51.100.7", method: "GET", path: "/a" },
      ...{ status: 200, durationMs: 7, bytesIn: 1, bytesOut: 100, ...change },
    });
  const traffic = async (query = "") => (await call("GET", `${JOBS}/busy/url-traffic${query}`)).body;

  it("is counted, kept and summed up", async () => {
    const { sandbox } = await idle("busy");
    const usedBefore = (await call("GET", `${JOBS}/usage`)).body;
    for (let n = 0; n < 3; n++) note(sandbox, { path: `/${n}` });
    note(sandbox, { status: 502, durationMs: 20_000, path: "/\0bad" });
    const seen = await waitFor(
      async () => {
        const reply = await traffic();
        return reply.counters.requests === 4 && reply.entries.length === 4 && reply;
      },
      { what: "all to be stored" },
    );
    assert.deepEqual(seen.counters.by_status, { "2xx": 3, "5xx": 1 });
    assert.deepEqual([seen.counters.bytes_in, seen.counters.bytes_out], [4, 400]);
    const buckets = seen.counters.duration_ms_buckets;
    assert.deepEqual(
      [buckets[1], buckets.at(-1)],
      [
        { le: 10, requests: 3 },
        { le: null, requests: 1 },
      ],
    );
    assert.deepEqual(
      seen.entries.map(({ path }: Body) => path),
      ["/0", "/1", "/2", "/\ufffdbad"],
    );
    const [, second] = seen.entries;
    assert.equal((await traffic(`?after=${second.id}&limit=1`)).entries[0].path, "/2");
    assert.equal((await traffic("?limit=2")).entries[0].path, "/2");
    const usage = (await call("GET", `${JOBS}/usage`)).body;
    assert.deepEqual(
      [usage.url_requests - usedBefore.url_requests, usage.url_bytes_out - usedBefore.url_bytes_out],
      [4, 400],
    );
  });

  it("is in the metrics", async () => {
    const metrics = await (await fetch(`${plane.url}/metrics`)).text();
    for (const line of [
      'mags_url_requests_total{status="2xx"} 3',
      'mags_url_requests_total{status="5xx"} 1',
      'mags_url_bytes_total{direction="out"} 400',
    ])
      assert.ok(metrics.includes(`${line}\n`), line);
  });

  it("counts a flood whole, and keeps the first of it", async () => {
    const { sandbox } = await idle("flooded");
    for (let n = 0; n < 500; n++) note(sandbox);
    const seen = await waitFor(
      async () => {
        const reply = (await call("GET", `${JOBS}/flooded/url-traffic?limit=1000`)).body;
        return reply.counters.requests === 500 && reply.entries.length > 0 && reply;
      },
      { what: "all to be counted" },
    );
    assert.equal(seen.entries.length, 100);
  });

  it("counts a batch once that is stored again, and leaves out what is of no sandbox", async () => {
    const { sandbox } = await idle("again");
    const store = createUrlTrafficStore(plane.database);
    const count = {
      ...{ day: "2026-01-02", statusClass: 2, bucket: 0, requests: 5, bytesIn: 1, bytesOut: 2, durationMs: 3 },
    };
    const counts = [
      { ...count, guest: sandbox },
      { ...count, guest: randomUUID() as typeof sandbox },
    ];
    const batch = { id: randomUUID(), at: new Date(), counts, entries: [] };
    await store.add(batch);
    await store.add(batch);
    await store.add({ ...batch, id: randomUUID() });
    assert.deepEqual(await store.sums(sandbox), [
      { statusClass: 2, bucket: 0, requests: 10, bytesIn: 2, bytesOut: 4, durationMs: 6 },
    ]);
  });

  it("is kept for so long, and so much of it", async () => {
    const { sandbox } = await idle("old");
    const store = createUrlTrafficStore(plane.database);
    const entry = (n: number, atMs: number): UrlAccess => ({
      ...{ atMs, host: "h", guest: sandbox, clientAddress: "::1", method: "GET", path: `/${n}`, status: 200 },
      ...{ durationMs: 1, bytesIn: 0, bytesOut: 0 },
    });
    const now = new Date();
    const old = now.getTime() - 10_000;
    const entries = [entry(0, old), ...[1, 2, 3].map((n) => entry(n, now.getTime()))];
    await store.add({ id: randomUUID(), at: now, counts: [], entries });
    const kept = { before: new Date(old + 1), newest: 2 };
    assert.equal(await store.removeEntries({ ...kept, most: 50 }), 1, "old ones first");
    let pieces = 0;
    for (let removed = 50; removed > 0; pieces++) {
      removed = await store.removeEntries({ ...kept, most: 50 });
      assert.ok(removed <= 50);
    }
    assert.ok(pieces > 2, "those of the flood, too");
    const left = await store.entries(sandbox, { after: null, limit: 10 });
    assert.deepEqual(
      left.map(({ path }) => path),
      ["/2", "/3"],
    );
    aheadMs = 8 * 86_400_000;
    try {
      await plane.plane.collectNow();
    } finally {
      aheadMs = 0;
    }
    assert.deepEqual(await store.entries(sandbox, { after: null, limit: 10 }), []);
  });
});

describe("what is done to URLs", () => {
  it("is in the audit log", async () => {
    const { client, accountId } = await plane.addUser();
    const ofUser = sandboxTests(
      () => plane,
      () => client,
    );
    const { id } = await ofUser.idle("audited");
    const done = async (method: string, path: string, body?: unknown) => {
      const reply = await ofUser.call(method, path, body);
      assert.ok(reply.status < 300, JSON.stringify(reply.body));
      return reply.body;
    };
    await done("POST", `${JOBS}/${id}/access`, { port: 3000, private: true });
    const made = await done("POST", `${JOBS}/${id}/url-links`, {});
    await done("DELETE", `${JOBS}/${id}/url-links/${made.id}`);
    await done("PATCH", `${JOBS}/${id}`, { url_private: false });
    await done("POST", ALIASES, { subdomain: "audited", workspace_id: "audited" });
    await done("PUT", `${ALIASES}/audited`, { workspace_id: "audited" });
    await done("DELETE", `${ALIASES}/audited`);
    const entries = await waitFor(
      async () => {
        const all = (await done("GET", "/api/v1/audit-log")).entries as Body[];
        const seen = all.filter(({ action }) => /^(url|alias)_/.test(action));
        return seen.length === 7 && seen;
      },
      { what: "seven entries" },
    );
    const alias = "http://audited.localhost:7780";
    const until = made.expires_at;
    assert.deepEqual(
      entries.map(({ action, target, data }: Body) => [action, target, data]),
      [
        ["url_access_changed", "audited", { port: 3000, private: true }],
        ["url_link_made", "audited", { link: made.id, port: 3000, until }],
        ["url_link_revoked", "audited", { link: made.id }],
        ["url_access_changed", "audited", { port: 3000, private: false }],
        ["alias_created", alias, { workspace: "audited" }],
        ["alias_moved", alias, { workspace: "audited" }],
        ["alias_removed", alias, {}],
      ],
    );
    assert.ok(entries.every(({ account_id, client_address }) => account_id === accountId && client_address));
    assert.ok(!JSON.stringify(entries).includes(made.token));
  });
});

describe("without URLs", () => {
  it("says so", async () => {
    await using other = await startTestPlane(await server.database());
    const ofOther = sandboxTests(() => other);
    const { id } = await ofOther.idle("box");
    for (const path of [`${JOBS}/${id}/access`, `${JOBS}/${id}/url-links`]) {
      const { status, body } = await ofOther.call("POST", path, {});
      assert.equal(`${status} ${body.code}`, "400 not_supported");
    }
    assert.equal((await ofOther.statusOf(id)).url_private, undefined);
  });
});
