import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { type Clock, silentLogger, systemClock, withDeadline } from "@mags/core";
import type { AccountId, SshKeyId } from "@mags/domain";
import { type ApiClient, waitFor } from "@mags/test-kit";
import { sql } from "kysely";
import type { NewAuditRecord } from "../src/app/audit-store.ts";
import type { SshKeyChallenge } from "../src/app/ssh-key-store.ts";
import { createSshKeys } from "../src/app/ssh-keys.ts";
import { createAccountStore } from "../src/sql/account-store.ts";
import { createAuditStore } from "../src/sql/audit-store.ts";
import { type Database, openDatabase } from "../src/sql/database.ts";
import { createSshKeyStore } from "../src/sql/ssh-key-store.ts";
import { startTestServer, type TestServer } from "./support/database.ts";
import { startTestPlane, type TestPlane } from "./support/plane.ts";
import { addSshKey, challengeFor, makeSshKey } from "./support/ssh-key.ts";

const at = (ms: number) => new Date(Date.UTC(2026, 0, 1) + ms);

let server: TestServer;
let database: Database;
before(async () => {
  server = await startTestServer();
  database = await openDatabase({ log: silentLogger }, { address: await server.database() });
});
after(async () => {
  await database[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});

async function addAccount(name: string): Promise<AccountId> {
  const id = randomUUID() as AccountId;
  const fields = { id, email: `${id}@localhost`, name, role: "user", bootstrap: false, createdAt: at(0) } as const;
  assert.equal(await createAccountStore(database).add(fields), true);
  return id;
}

function key(fingerprint: string, fields: { readonly name?: string } = {}) {
  const id = randomUUID() as SshKeyId;
  return { id, name: fingerprint, type: "ssh-ed25519", blob: Buffer.from([1, 2]), fingerprint, ...fields };
}

async function storedChallenge(accountId: AccountId, fingerprint: string): Promise<string> {
  const challenge: SshKeyChallenge = { challenge: randomUUID(), accountId, fingerprint, expiresAt: at(10) };
  await createSshKeyStore(database).addChallenge(challenge, { now: at(0), most: 100 });
  assert.deepEqual(await createSshKeyStore(database).challenge(accountId, challenge.challenge), challenge);
  return challenge.challenge;
}

describe("createSshKeyStore", () => {
  it("finds a key on every account that has it, and writes its use down", async () => {
    const store = createSshKeyStore(database);
    const accounts = [await addAccount("one"), await addAccount("two")];
    const fingerprint = `SHA256:${randomUUID()}`;
    const ids: SshKeyId[] = [];
    for (const [index, accountId] of accounts.entries()) {
      const added = { ...key(fingerprint, { name: "laptop" }), accountId, createdAt: at(index) };
      const options = { challenge: await storedChallenge(accountId, fingerprint), most: 100 };
      assert.equal(await store.add(added, options), "added");
      // Whoever lost the answer asks again.
      assert.equal(await store.add(added, options), "added");
      ids.push(added.id);
    }
    const found = await store.byFingerprint(fingerprint);
    assert.deepEqual(
      found.map((holder) => [holder.keyId, holder.accountId, holder.name, holder.accountName, holder.accountEmail]),
      accounts.map((id, index) => [ids[index], id, "laptop", ["one", "two"][index], `${id}@localhost`]),
    );
    assert.deepEqual(found[0]?.publicKey, Buffer.from([1, 2]));
    assert.deepEqual(await store.byFingerprint("SHA256:none"), []);

    const [first, second] = ids as [SshKeyId, SshKeyId];
    const [one, two] = accounts as [AccountId, AccountId];
    createSshKeys({ store, audit: { note() {} }, clock: systemClock, log: silentLogger }).used(first);
    await waitFor(async () => (await store.list(one))[0]?.lastUsedAt, { what: "the use" });
    await store.touch(second, at(5), { unlessAfter: at(0) });
    await store.touch(second, at(6), { unlessAfter: at(4) });
    assert.deepEqual((await store.list(two))[0]?.lastUsedAt, at(5));

    assert.equal(await store.remove(two, first), false);
    assert.equal(await store.remove(one, first), true);
    assert.equal((await store.byFingerprint(fingerprint)).length, 1);
  });

  it("adds nothing twice, nothing beyond the limit, and nothing without an unused challenge of that key", async () => {
    const store = createSshKeyStore(database);
    const [accountId, other] = [await addAccount("a"), await addAccount("b")];
    const add = (
      fingerprint: string,
      challenge: string,
      fields: { readonly name?: string; readonly most?: number } = {},
    ) => store.add({ ...key(fingerprint, fields), accountId, createdAt: at(0) }, { challenge, most: fields.most ?? 2 });

    const challenge = await storedChallenge(accountId, "f1");
    assert.equal(await add("f2", challenge), "challenge_used");
    assert.equal(await add("f1", await storedChallenge(other, "f1")), "challenge_used");
    assert.equal(await add("f1", challenge), "added");
    assert.equal(await store.challenge(accountId, challenge), null);
    assert.equal(await add("f3", challenge), "challenge_used");
    assert.equal(await add("f1", await storedChallenge(accountId, "f1")), "exists");
    const third = await storedChallenge(accountId, "f3");
    assert.equal(await add("f3", third, { name: "f1" }), "name_taken");
    assert.equal(await add("f3", third, { most: 1 }), "too_many");
    const twice = await Promise.all([add("f3", third), add("f3", third)]);
    assert.deepEqual(twice.sort(), ["added", "exists"]);
    assert.deepEqual((await store.list(accountId)).map(({ name }) => name).sort(), ["f1", "f3"]);
  });

  it("waits for nobody who adds a job or token of the account", async () => {
    const store = createSshKeyStore(database);
    const accountId = await addAccount("busy");
    await database.run((db) =>
      db.transaction().execute(async (tx) => {
        // As the database does for a row that refers to the account.
        await sql`select id from accounts where id = ${accountId} for key share`.execute(tx);
        const adding = store.addChallenge(
          { challenge: "busy", accountId, fingerprint: "f", expiresAt: at(10) },
          { now: at(0), most: 1 },
        );
        await withDeadline(adding, 20_000, () => new Error("it waits"));
      }),
    );
    assert.notEqual(await store.challenge(accountId, "busy"), null);
  });

  it("keeps a bounded number of challenges of an account, and none that has expired", async () => {
    const store = createSshKeyStore(database);
    const accountId = await addAccount("c");
    const ids = ["c1", "c2", "c3", "c4"];
    for (const [index, challenge] of ids.entries())
      await store.addChallenge(
        { challenge, accountId, fingerprint: "f", expiresAt: at(100 + index) },
        { now: at(0), most: 2 },
      );
    const kept = () => Promise.all(ids.map(async (id) => (await store.challenge(accountId, id)) !== null));
    assert.deepEqual(await kept(), [false, false, true, true]);
    await store.addChallenge(
      { challenge: "c5", accountId, fingerprint: "f", expiresAt: at(200) },
      { now: at(103), most: 100 },
    );
    assert.deepEqual(await kept(), [false, false, false, false]);
  });
});

function record(fields: Partial<NewAuditRecord> = {}): NewAuditRecord {
  return {
    ...{ noteId: randomUUID(), at: at(0), action: "ssh_refused", accountId: randomUUID() as AccountId },
    ...{
      target: "a\0b\ud800",
      clientAddress: "192.0.2.1",
      data: { login: "x\0", bytes: 2 ** 40, ok: true, none: null },
    },
    ...fields,
  };
}

async function rows() {
  return database.run((db) => db.selectFrom("audit_log").selectAll().orderBy("id").execute());
}

describe("createAuditStore", () => {
  it("stores each entry once, in order, whatever strangers put into it, and removes what is old", async () => {
    const store = createAuditStore(database);
    const records = Array.from({ length: 30 }, (_, index) => record({ at: at(index) }));
    await store.add(records);
    await store.add(records);
    await store.add([record({ accountId: null, target: null, clientAddress: null, at: at(30) })]);
    const stored = await rows();
    assert.deepEqual(
      stored.map((row) => row.at.getTime()),
      Array.from({ length: 31 }, (_, index) => at(index).getTime()),
    );
    assert.deepEqual(stored[0]?.data, { login: "x\ufffd", bytes: 2 ** 40, ok: true, none: null });
    assert.equal(stored[0]?.target, "a\ufffdb\ufffd");
    assert.deepEqual([stored[30]?.account_id, stored[30]?.target, stored[30]?.client_address], [null, null, null]);

    assert.equal(await store.removeBefore(at(10), { most: 4 }), 4);
    assert.equal(await store.removeBefore(at(10), { most: 100 }), 6);
    assert.equal((await rows()).length, 21);
  });
});

describe("the index of the audit log", () => {
  it("finds an account's last entries of one action without reading others, where they are rare", async () => {
    await using own = await openDatabase({ log: silentLogger }, { address: await server.database() });
    const accountId = randomUUID();
    interface Plan {
      readonly "Rows Removed by Filter"?: number;
      readonly Plans?: readonly Plan[];
    }
    const passedBy = ({ "Rows Removed by Filter": here = 0, Plans = [] }: Plan): number =>
      Plans.reduce((sum, plan) => sum + passedBy(plan), here);
    const { rows: plans } = await own.run(async (db) => {
      // A tenth of all entries are the account's, a sixth are of that action, and next to none are both.
      await sql`insert into audit_log (note_id, at, account_id, action, data)
        select gen_random_uuid(), now(), case when n % 10 = 0 then ${accountId}::uuid else gen_random_uuid() end,
          case when n % 5000 = 0 or n % 6 = 1 then 'key_added' else 'ssh_session' end, '{}'
        from generate_series(1, 20000) as n`.execute(db);
      await sql`analyze audit_log`.execute(db);
      return sql<{ readonly "QUERY PLAN": readonly { readonly Plan: Plan }[] }>`explain (analyze, format json)
        select * from audit_log where account_id = ${accountId} and action = 'key_added'
        order by id desc limit 100`.execute(db);
    });
    const plan = plans[0]?.["QUERY PLAN"][0]?.Plan ?? assert.fail("no plan");
    assert.equal(passedBy(plan), 0, JSON.stringify(plan));
  });
});

describe("the API of SSH keys", () => {
  const KEYS = "/api/v1/ssh-keys";
  let plane: TestPlane;
  let aheadMs = 0;
  // biome-ignore lint/suspicious/noExplicitAny: the plane checks its replies against the schemas.
  type Body = any;
  before(async () => {
    const clock: Clock = { ...systemClock, now: () => new Date(Date.now() + aheadMs) };
    plane = await startTestPlane(await server.database(), { clock });
  });
  after(() => plane[Symbol.asyncDispose]());

  async function call(client: ApiClient, method: string, path: string, body?: unknown) {
    const reply = await client.call(method, path, body);
    return { status: reply.status, body: reply.body as Body };
  }

  async function refusal(client: ApiClient, body: Readonly<Record<string, unknown>>): Promise<string> {
    const reply = await call(client, "POST", KEYS, body);
    assert.ok(reply.status === 400 || reply.status === 409, JSON.stringify(reply));
    return reply.body.error;
  }

  it("adds a key to whoever shows that it is his, shows it, and removes it by id, fingerprint or name", async () => {
    const { client, accountId } = await plane.addUser();
    await using key = await makeSshKey({ comment: "me at work" });
    const added = await addSshKey(client, key);
    assert.equal(added.status, 201, JSON.stringify(added.body));
    const shown = added.body as Body;
    assert.deepEqual([shown.name, shown.type, shown.fingerprint], ["me at work", "ssh-ed25519", key.fingerprint]);
    assert.ok(key.line.startsWith(`${shown.public_key} `));
    assert.deepEqual((await call(client, "GET", KEYS)).body, { keys: [shown] });
    const name = `${"\u00fc".repeat(99)}/`;
    for (const which of [shown.id, key.fingerprint, name]) {
      const path = `${KEYS}/${encodeURIComponent(which)}`;
      assert.equal((await call(client, "DELETE", path)).status, 200, which);
      assert.deepEqual((await call(client, "GET", KEYS)).body, { keys: [] });
      assert.equal((await call(client, "DELETE", path)).body.code, "ssh_key_not_found");
      assert.equal((await addSshKey(client, key, { name })).status, 201);
    }
    const entries = async () => (await call(client, "GET", "/api/v1/audit-log")).body.entries as Body[];
    await waitFor(async () => (await entries()).filter(({ action }) => action === "key_removed").length === 3, {
      what: "the entries",
    });
    const [first, second] = (await entries()).filter(({ action }) => action.startsWith("key_"));
    assert.deepEqual(
      [first.action, first.account_id, first.target, first.client_address, first.data.fingerprint, second.action],
      ["key_added", accountId, "me at work", "127.0.0.1", key.fingerprint, "key_removed"],
    );
  });

  it("takes the same key for several accounts, once for each", async () => {
    await using key = await makeSshKey();
    const [one, two] = [(await plane.addUser()).client, (await plane.addUser()).client];
    for (const client of [one, two]) assert.equal((await addSshKey(client, key)).status, 201);
    const again = await addSshKey(one, key, { name: "again" });
    assert.deepEqual([again.status, (again.body as Body).code], [409, "ssh_key_exists"]);
    await using other = await makeSshKey();
    const sameName = await addSshKey(one, other);
    assert.deepEqual([sameName.status, (sameName.body as Body).code], [409, "ssh_key_name_taken"]);
    assert.match((sameName.body as Body).error, /another key with the name "me@here": give this one another name/);
  });

  it("refuses a challenge of somebody else, of another key, one that was used or has expired, and says which", async () => {
    await using key = await makeSshKey();
    await using other = await makeSshKey({ comment: "other" });
    const [{ client }, { client: somebody }] = [await plane.addUser(), await plane.addUser()];
    const withChallenge = (challenge: string, by = key) => ({
      ...{ public_key: by.line, challenge, signature: by.sign(challenge) },
    });
    assert.match(await refusal(client, withChallenge("made up")), /^challenge: is none of this account/);
    const theirs = withChallenge(await challengeFor(somebody, key));
    assert.match(await refusal(client, theirs), /^challenge: is none of this account/);
    const challenge = await challengeFor(client, key);
    assert.match(await refusal(client, withChallenge(challenge, other)), /^challenge: was given for the key SHA256/);
    const mine = withChallenge(challenge);
    const signature = other.sign(challenge);
    assert.match(await refusal(client, { ...mine, signature }), /^signature: was made with the key SHA256/);
    aheadMs = 601_000;
    assert.match(await refusal(client, mine), /^challenge: expired at .*ask for another/);
    aheadMs = 0;
    assert.equal((await call(client, "POST", KEYS, mine)).status, 201);
    assert.match(await refusal(client, { ...mine, name: "again" }), /^challenge: is none of this account, or was used/);
  });

  it("asks for a signature that names the server as its client reaches it, which no other can have it name", async () => {
    await using key = await makeSshKey();
    const { host } = new URL(plane.url);
    const [{ client }, address] = [await plane.addUser(), await server.database()];
    const ask = (by: ApiClient, asked?: string, headers = {}) =>
      by.call("POST", `${KEYS}/challenge`, { public_key: key.line, server: asked }, { headers });
    const nameIn = async (...args: Parameters<typeof ask>) => {
      const { challenge } = (await ask(...args)).body as Body;
      return /^mags-key server=(\S+) account=\S+ key=SHA256:\S+ nonce=\S+$/.exec(challenge)?.[1];
    };
    assert.equal(await nameIn(client), host);
    assert.equal(await nameIn(client, host), host);
    assert.equal(await nameIn(client, `localhost:${new URL(plane.url).port}`), `localhost:${new URL(plane.url).port}`);
    const foreign = await ask(client, "evil.example", { host: "evil.example", "x-forwarded-host": "evil.example" });
    assert.deepEqual([foreign.status, /^server: .*public_url/.test((foreign.body as Body).error)], [400, true]);

    await using named = await startTestPlane(address, { publicUrl: "https://mags.example.org" });
    assert.equal(await nameIn(named.admin), "mags.example.org");
    assert.equal(await nameIn(named.admin, "mags.example.org"), "mags.example.org");
    const byAddress = await ask(named.admin, new URL(named.url).host);
    assert.match((byAddress.body as Body).error, /^server: this one is reached at https:\/\/mags\.example\.org, /);
    assert.equal((await addSshKey(named.admin, key)).status, 201);
  });

  it("refuses keys and names that are none", async () => {
    const { client } = await plane.addUser();
    await using key = await makeSshKey();
    const bad = await call(client, "POST", `${KEYS}/challenge`, { public_key: "ssh-dss AAAA" });
    assert.deepEqual([bad.status, bad.body.error.slice(0, 12)], [400, "public_key: "]);
    const body = { public_key: key.line, challenge: "x", signature: "x" };
    for (const name of ["", "  ", "a\nb", "x".repeat(101), randomUUID(), "SHA256:x", ".."])
      assert.match(await refusal(client, { ...body, name }), /^name: /, name);
    await using odd = await makeSshKey({ comment: `SHA256:${"x".repeat(50)}` });
    assert.equal(((await addSshKey(client, odd)).body as Body).name, "ssh-ed25519");
  });
});

describe("the API of the audit log", () => {
  // biome-ignore lint/suspicious/noExplicitAny: the plane checks its replies against the schemas.
  type Body = any;

  it("shows everybody his own entries, and admins those of nobody and of all, by pages", async () => {
    await using plane = await startTestPlane(await server.database());
    const { client, accountId } = await plane.addUser();
    await createAuditStore(plane.database).add([
      record({ accountId: null, target: "stranger" }),
      record({ accountId, target: "own" }),
      record({ accountId, target: "later", at: at(1) }),
    ]);
    const read = async (by: ApiClient, query = ""): Promise<Body[]> =>
      ((await by.call("GET", `/api/v1/audit-log?action=ssh_refused&${query}`)).body as Body).entries;
    const targets = async (by: ApiClient, query = "") => (await read(by, query)).map(({ target }) => target);
    assert.deepEqual(await targets(client), ["own", "later"]);
    assert.deepEqual(await targets(plane.admin), ["stranger"]);
    assert.deepEqual(await targets(plane.admin, "all=1"), ["stranger", "own", "later"]);
    assert.deepEqual(await targets(plane.admin, "all=1&limit=2"), ["own", "later"]);
    assert.deepEqual(await targets(plane.admin, "all=1&limit=2&after=0"), ["stranger", "own"]);
    const [stranger, own] = await read(plane.admin, "all=1");
    assert.deepEqual(await targets(plane.admin, `all=1&after=${own.id}`), ["later"]);
    assert.deepEqual([stranger.account_email, own.account_email], [null, "user1@localhost"]);
    const refused = await plane.admin.call("GET", "/api/v1/audit-log?action=nonsense");
    assert.deepEqual([refused.status, /^action: /.test((refused.body as Body).error)], [400, true]);
  });

  it("is stored to its last entry when the server ends", async () => {
    const address = await server.database();
    const plane = await startTestPlane(address);
    const { accountId } = await plane.addUser();
    await plane[Symbol.asyncDispose]();
    await using ended = await openDatabase({ log: silentLogger }, { address });
    const query = { of: [accountId], action: null, after: null, limit: 10 };
    assert.deepEqual(
      (await createAuditStore(ended).list(query)).map(({ action, target }) => [action, target]),
      [["token_created", "test"]],
    );
  });

  it("tells of tokens that are made and revoked, and forgets what is old", async () => {
    let aheadMs = 0;
    const clock: Clock = { ...systemClock, now: () => new Date(Date.now() + aheadMs) };
    await using plane = await startTestPlane(await server.database(), { clock, auditKeepDays: 7 });
    const { client } = await plane.addUser();
    const token = (await client.call("POST", "/api/v1/access-tokens", { name: "ci" })).body as Body;
    assert.equal((await client.call("DELETE", `/api/v1/access-tokens/${token.id}`)).status, 200);
    const read = async () => ((await client.call("GET", "/api/v1/audit-log")).body as Body).entries as Body[];
    await waitFor(async () => (await read()).length === 3, { what: "the entries" });
    assert.deepEqual(
      (await read()).map(({ action, target, client_address }) => [action, target, client_address]),
      [
        ["token_created", "test", null],
        ["token_created", "ci", "127.0.0.1"],
        ["token_revoked", "ci", "127.0.0.1"],
      ],
    );
    aheadMs = 7 * 86_400_000 - 60_000;
    await plane.plane.collectNow();
    assert.equal((await read()).length, 3);
    aheadMs = 7 * 86_400_000 + 60_000;
    await plane.plane.collectNow();
    assert.equal((await read()).length, 0);
  });
});
