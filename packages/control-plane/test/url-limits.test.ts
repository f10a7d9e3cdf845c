import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, describe, it } from "node:test";
import type { AccountId } from "@mags/domain";
import { waitFor } from "@mags/test-kit";
import { sql } from "kysely";
import { createUrlStore } from "../src/sql/url-store.ts";
import { startTestServer, type TestServer } from "./support/database.ts";
import { startTestPlane, type TestPlane } from "./support/plane.ts";
import { JOBS, SYNCED, sandboxTests } from "./support/sandboxes.ts";
import { ALIASES, URLS, urlTests } from "./support/urls.ts";

const MOST = 1_000;
const LEFT = 5;
const ASKED = 40;

let server: TestServer;
let plane: TestPlane;
before(async () => {
  server = await startTestServer();
  plane = await startTestPlane(await server.database(), { urls: URLS });
});
after(async () => {
  await plane[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});

const { access } = urlTests(() => plane);
const run = (statement: ReturnType<typeof sql>) => plane.database.run((db) => statement.execute(db));
const at = (ms: number) => new Date(Date.now() + ms);
const aliasOf = (accountId: AccountId, workspaceId: string) => ({
  ...{ id: randomUUID(), accountId, domain: "localhost", subdomain: `s-${randomUUID()}`, workspaceId },
  ...{ createdAt: at(0), updatedAt: at(0) },
});

async function askedAtOnce(ask: () => Promise<{ readonly status: number; readonly body: { error?: string } }>) {
  const replies = await Promise.all(Array.from({ length: ASKED }, ask));
  const refused = replies.filter(({ status }) => status !== 201);
  return {
    made: replies.length - refused.length,
    refusals: [...new Set(refused.map(({ status, body }) => `${status} ${body.error}`))],
  };
}

describe("aliases and links that are asked for all at once", () => {
  it("are as many as an account may have aliases", async () => {
    const { client, accountId } = await plane.addUser();
    const { call, idle } = sandboxTests(
      () => plane,
      () => client,
    );
    await idle("shop");
    await run(sql`insert into url_aliases (id, account_id, domain, subdomain, workspace_id, created_at, updated_at)
      select gen_random_uuid(), ${accountId}, 'localhost', 'there-' || n, 'shop', now(), now()
      from generate_series(1, ${MOST - LEFT}::integer) as n`);
    const { made, refusals } = await askedAtOnce(() =>
      call("POST", ALIASES, { subdomain: `s-${randomUUID()}`, workspace_id: "shop" }),
    );
    assert.deepEqual(refusals, ["400 an account has at most 1000 aliases: remove one before"]);
    assert.deepEqual([made, (await call("GET", ALIASES)).body.total], [LEFT, MOST]);
  });

  it("are as many as a sandbox may have links", async () => {
    const { call, idle } = sandboxTests(() => plane);
    const { sandbox } = await idle("linked");
    await access("linked");
    await run(sql`insert into url_links (id, sandbox_id, port, created_at, expires_at)
      select gen_random_uuid(), ${sandbox}, 8080, now(), now() + interval '1 day'
      from generate_series(1, ${MOST - LEFT}::integer)`);
    const { made, refusals } = await askedAtOnce(() => call("POST", `${JOBS}/linked/url-links`, {}));
    assert.deepEqual(refusals, ["400 a VM has at most 1000 links that hold: revoke some, or have them expire sooner"]);
    assert.deepEqual([made, (await call("GET", `${JOBS}/linked/url-links`)).body.total], [LEFT, MOST]);
  });
});

describe("links that were revoked", () => {
  it("are forgotten when there are too many, the first to be revoked first", async () => {
    const { idle } = sandboxTests(() => plane);
    const { sandbox: sandboxId } = await idle("revoked");
    const store = createUrlStore(plane.database);
    const made: string[] = [];
    const add = async () => {
      const id = randomUUID();
      const link = { id, sandboxId, port: 80, createdAt: at(0), expiresAt: at(60_000), revokedAt: null };
      assert.equal(await store.addLink(link, { most: 2 }), true);
      made.push(id);
      return id;
    };
    for (let n = 0; n < 4; n++) await store.revokeLink(sandboxId, await add(), at(n));
    await add();
    const left = await store.links(sandboxId, { now: at(0) });
    assert.deepEqual(
      left.map(({ id, revokedAt }) => [made.indexOf(id), revokedAt !== null]),
      [
        [2, true],
        [3, true],
        [4, false],
      ],
    );
  });
});

describe("an alias of a workspace that is being deleted", () => {
  const isWaiting = async () =>
    (await run(sql`select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`)).rows
      .length > 0;

  it("is not made, nor moved there", async () => {
    const { submit, untilScriptOver, idle, call } = sandboxTests(() => plane);
    const store = createUrlStore(plane.database);
    const accountId = (await plane.plane.accounts.ensureBootstrap()).id;
    await idle("stays");
    const there = aliasOf(accountId, "stays");
    assert.deepEqual(await store.addAlias(there, { most: MOST }), there);
    for (const ask of [
      () => store.addAlias(aliasOf(accountId, "doomed"), { most: MOST }),
      () => store.moveAlias(accountId, there, { workspaceId: "doomed", at: at(0) }),
    ]) {
      const id = await submit(SYNCED("doomed"));
      await untilScriptOver(id);
      await call("POST", `${JOBS}/${id}/stop`);
      const asked = await plane.database.run((db) =>
        db.transaction().execute(async (tx) => {
          await sql`select from workspaces where name = 'doomed' for update`.execute(tx);
          const pending = ask();
          await waitFor(isWaiting, { what: "it to wait for the workspace" });
          await sql`update workspaces set deleted_at = now(), removed_at = now() where name = 'doomed'`.execute(tx);
          return { pending };
        }),
      );
      assert.equal(await asked.pending, "no_workspace");
    }
    assert.deepEqual(await store.aliases(accountId), [there]);
  });
});
