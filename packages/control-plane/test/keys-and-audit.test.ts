import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { silentLogger, systemClock } from "@mags/core";
import type { AccountId, SshKeyId } from "@mags/domain";
import { waitFor } from "@mags/test-kit";
import type { NewAuditRecord } from "../src/app/audit-store.ts";
import type { SshKeyChallenge } from "../src/app/ssh-key-store.ts";
import { createSshKeys } from "../src/app/ssh-keys.ts";
import { createAccountStore } from "../src/sql/account-store.ts";
import { createAuditStore } from "../src/sql/audit-store.ts";
import { type Database, openDatabase } from "../src/sql/database.ts";
import { createSshKeyStore } from "../src/sql/ssh-key-store.ts";
import { startTestServer, type TestServer } from "./support/database.ts";

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

async function challengeFor(accountId: AccountId, fingerprint: string): Promise<string> {
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
      const options = { challenge: await challengeFor(accountId, fingerprint), most: 100 };
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
    createSshKeys({ store, clock: systemClock, log: silentLogger }).used(first);
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

    const challenge = await challengeFor(accountId, "f1");
    assert.equal(await add("f2", challenge), "challenge_used");
    assert.equal(await add("f1", await challengeFor(other, "f1")), "challenge_used");
    assert.equal(await add("f1", challenge), "added");
    assert.equal(await store.challenge(accountId, challenge), null);
    assert.equal(await add("f3", challenge), "challenge_used");
    assert.equal(await add("f1", await challengeFor(accountId, "f1")), "exists");
    const third = await challengeFor(accountId, "f3");
    assert.equal(await add("f3", third, { name: "f1" }), "name_taken");
    assert.equal(await add("f3", third, { most: 1 }), "too_many");
    const twice = await Promise.all([add("f3", third), add("f3", third)]);
    assert.deepEqual(twice.sort(), ["added", "exists"]);
    assert.deepEqual((await store.list(accountId)).map(({ name }) => name).sort(), ["f1", "f3"]);
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
