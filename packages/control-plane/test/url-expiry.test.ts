import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { systemClock } from "@mags/core";
import type { SandboxId } from "@mags/domain";
import { createUrlCertificateStore } from "../src/sql/url-certificate-store.ts";
import { createUrlStore } from "../src/sql/url-store.ts";
import { createUrlTrafficStore } from "../src/sql/url-traffic-store.ts";
import { startTestServer, type TestServer } from "./support/database.ts";
import { startTestPlane, type TestPlane } from "./support/plane.ts";
import { JOBS, sandboxTests } from "./support/sandboxes.ts";

const NOON = Date.UTC(2026, 0, 2, 12);
const DAY_MS = 86_400_000;

let server: TestServer;
/** URLs are off. */
let plane: TestPlane;
/** That of the control plane, in days since then. */
let day = 0;
const now = () => new Date(NOON + day * DAY_MS);
before(async () => {
  server = await startTestServer();
  plane = await startTestPlane(await server.database(), { clock: { ...systemClock, now }, urlLogKeepDays: 3 });
});
after(async () => {
  await plane[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});

const { call, idle } = sandboxTests(() => plane);
const traffic = () => createUrlTrafficStore(plane.database);

async function collectOn(ofDay: number): Promise<void> {
  day = ofDay;
  await plane.plane.collectNow();
}

/** One request. */
async function ask(guest: SandboxId): Promise<void> {
  const entry = {
    ...{ atMs: NOON, host: "h", guest, clientAddress: "::1", method: "GET", path: "/", status: 200 },
    ...{ durationMs: 1, bytesIn: 3, bytesOut: 5 },
  };
  const count = { statusClass: 2, bucket: 0, requests: 1, bytesIn: 3, bytesOut: 5, durationMs: 1 };
  const counts = [{ ...count, guest, day: "2026-01-02" }];
  await traffic().add({ id: randomUUID(), at: new Date(NOON), counts, entries: [entry] });
}

describe("where there are no URLs any more", () => {
  it("entries of access logs, and what tells batches apart, go when their time is over", async () => {
    day = 0;
    const { sandbox } = await idle("logged");
    await ask(sandbox);
    const left = async () => {
      const batches = await plane.database.run((db) => db.selectFrom("url_batches").select("id").execute());
      return [(await traffic().entries(sandbox, { after: null, limit: 10 })).length, batches.length];
    };
    await collectOn(1);
    assert.deepEqual(await left(), [1, 1]);
    await collectOn(2);
    assert.deepEqual(await left(), [1, 0]);
    await collectOn(4);
    assert.deepEqual(await left(), [0, 0]);
  });

  it("counters stay for as long as usage looks back, and no longer", async () => {
    day = 0;
    const { id, sandbox } = await idle("counted");
    await ask(sandbox);
    const counted = async () => {
      const { body } = await call("GET", `${JOBS}/${id}/url-traffic`);
      return [body.counters.requests, body.counters.bytes_out];
    };
    const used = async () => (await call("GET", `${JOBS}/usage?window_days=366`)).body.url_requests;
    const usedAtFirst = await used();
    await collectOn(366);
    assert.deepEqual([await counted(), await used()], [[1, 5], usedAtFirst]);
    await collectOn(367);
    assert.equal(await used(), 0);
    await collectOn(368);
    assert.deepEqual(await counted(), [0, 0]);
    const rows = await plane.database.run((db) => db.selectFrom("url_traffic").select("day").execute());
    assert.deepEqual(rows, []);
    assert.equal((await call("GET", `${JOBS}/usage?window_days=367`)).status, 400);
  });

  it("certificates go with their aliases, with what was to be answered for them, and tries after a week", async () => {
    day = 0;
    await idle("shop");
    const accountId = (await plane.plane.accounts.ensureBootstrap()).id;
    const name = { domain: "team.example", subdomain: "shop" };
    const times = { createdAt: now(), updatedAt: now() };
    const urls = createUrlStore(plane.database);
    await urls.addAlias({ id: randomUUID(), accountId, ...name, workspaceId: "shop", ...times }, { most: 1 });
    const store = createUrlCertificateStore(plane.database);
    for (const host of ["shop.team.example", "gone.team.example"]) {
      await store.putTry({ host, accountId, at: now() }, { since: now() });
      await store.putFailure(host, { at: now(), problem: "no" });
      await store.putChallenge({ host, token: "t", answer: "a" });
    }
    const answers = () =>
      Promise.all(["shop", "gone"].map((label) => store.challenge({ host: `${label}.team.example`, token: "t" })));
    const hosts = async () => (await store.all()).map(({ host }) => host);
    const tries = async () => (await store.triesSince(new Date(0))).length;
    await collectOn(1);
    assert.deepEqual([await hosts(), await answers(), await tries()], [["shop.team.example"], ["a", null], 2]);
    await urls.removeAlias(accountId, name);
    await collectOn(8);
    assert.deepEqual([await hosts(), await answers(), await tries()], [[], [null, null], 0]);
  });
});
