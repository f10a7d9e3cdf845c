import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { isAppError, silentLogger, systemClock } from "@mags/core";
import type { AccountId, GuestId } from "@mags/domain";
import { waitFor } from "@mags/test-kit";
import { createJobChanges } from "../src/app/job-changes.ts";
import { createSshKeys } from "../src/app/ssh-keys.ts";
import { createSshService } from "../src/app/ssh-service.ts";
import type { Database } from "../src/sql/database.ts";
import { createJobStore } from "../src/sql/job-store.ts";
import { createSandboxStore } from "../src/sql/sandbox-store.ts";
import { createSshAccessStore } from "../src/sql/ssh-access-store.ts";
import { createSshKeyStore } from "../src/sql/ssh-key-store.ts";
import { startTestServer, type TestServer } from "./support/database.ts";
import { startTestPlane, type TestPlane } from "./support/plane.ts";
import { JOBS, KEPT, sandboxTests } from "./support/sandboxes.ts";
import { newKey, publicOf, SHARED_PORT, SSH, sshTests } from "./support/ssh.ts";

let server: TestServer;
let plane: TestPlane;
let admin: AccountId;
before(async () => {
  server = await startTestServer();
  plane = await startTestPlane(await server.database(), { ssh: SSH });
  admin = await adminId();
});
after(async () => {
  await plane[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});

const { call, submit, idle, untilStatus, newestSandbox } = sandboxTests(() => plane);
const { access, signIn, mustSignIn, guest, addKey, removeKey, adminId, directory } = sshTests(() => plane);
const said = (code: Parameters<typeof isAppError>[1], pattern: RegExp) => (error: unknown) =>
  isAppError(error, code) && pattern.test(error.message);

describe("signing in", () => {
  it("takes the key of an account for its jobs and workspaces, by name, workspace and id", async () => {
    const key = newKey();
    await addKey(admin, key, "laptop");
    const { id, sandbox } = await idle("box");
    for (const login of ["box", id, "box+admin", "box+admin@localhost", `box+${admin}`]) {
      const user = await mustSignIn(login, key);
      assert.deepEqual([user.accountId, user.keyName, user.refusal], [admin, "laptop", null]);
      assert.equal(await guest(user), sandbox);
    }
    const { ssh_port } = await access("box");
    for (const login of ["root", "box", id]) assert.equal((await mustSignIn(login, key, ssh_port)).jobId, id);
  });

  it("takes nobody for what is not his: all get the same answer", async () => {
    const [key, foreign] = [newKey(), newKey()];
    await addKey(admin, key);
    await addKey((await plane.addUser()).accountId, foreign);
    await idle("mine");
    const given = await access("mine");
    for (const login of ["mine", "root", "nobody", "", "mine+admin", "a\0b"]) {
      for (const port of [SHARED_PORT, given.ssh_port, 40_099, 22]) {
        assert.equal(await signIn(login, foreign, port), null);
        assert.equal(await signIn(login, newKey(), port), null);
      }
    }
    assert.equal(await signIn("nobody", key), null);
    assert.equal(await signIn("mine", publicOf(given), 40_099), null);
  });

  it("asks the database the same, whoever comes", async () => {
    const [key, foreign] = [newKey(), newKey()];
    await addKey(admin, key);
    await addKey((await plane.addUser()).accountId, foreign);
    await idle("timed");
    const given = await access("timed");
    let asked = 0;
    const database: Database = {
      ...plane.database,
      run(...args) {
        asked++;
        return plane.database.run(...args);
      },
    };
    const { sealing } = plane;
    const common = { sealing, audit: { note() {} }, clock: systemClock, log: silentLogger };
    const sshKeys = createSshKeys({ ...common, store: createSshKeyStore(database) });
    const stores = {
      ...{ store: createJobStore(database), access: createSshAccessStore(database), sshKeys },
      ...{ sandboxes: createSandboxStore(database), changes: createJobChanges() },
    };
    const { directory: counted } = await createSshService({ ...stores, ...common }, SSH);
    const counts = new Set<number>();
    let found = 0;
    for (const by of [key, foreign, newKey(), publicOf(given)]) {
      for (const login of ["timed", "root", "nobody", "\0", "timed+admin"]) {
        for (const port of [SHARED_PORT, given.ssh_port, 40_099]) {
          asked = 0;
          const attempt = { login, key: by, port, clientAddress: "127.0.0.1" };
          if (await counted.find(attempt, { signal: new AbortController().signal })) found++;
          counts.add(asked);
        }
      }
    }
    assert.deepEqual([...counts], [4]);
    assert.ok(found > 5, `${found} may sign in`);
  });

  it("asks for the account where a name is on several, and takes it with it", async () => {
    const key = newKey();
    const { client, accountId } = await plane.addUser();
    await addKey(admin, key);
    await addKey(accountId, key, "same key");
    const other = sandboxTests(
      () => plane,
      () => client,
    );
    const { sandbox: mine } = await idle("twin");
    const { sandbox: theirs } = await other.idle("twin");
    const email = (await client.call("GET", "/api/v1/me")).body as { email: string };
    const unclear = await mustSignIn("twin", key);
    assert.match(unclear.refusal ?? "", new RegExp(`sign in as one of twin\\+admin@localhost, twin\\+${email.email}$`));
    assert.equal(await guest(await mustSignIn("twin+admin", key)), mine);
    assert.equal(await guest(await mustSignIn(`twin+${email.email}`, key)), theirs);
  });

  it("passes by what has ended in one account where it lives in another, or is kept there", async () => {
    const key = newKey();
    const { client, accountId } = await plane.addUser();
    await addKey(admin, key);
    await addKey(accountId, key);
    const other = sandboxTests(
      () => plane,
      () => client,
    );
    const { sandbox: mine } = await idle("once");
    await other.idle("once");
    assert.notEqual((await mustSignIn("once", key)).refusal, null);
    await client.call("POST", `${JOBS}/once/stop`);
    const user = await mustSignIn("once", key);
    assert.deepEqual([user.accountId, user.refusal], [admin, null]);
    assert.equal(await guest(user), mine);
    const email = (await client.call("GET", "/api/v1/me")).body as { email: string };
    const ended = await mustSignIn(`once+${email.email}`, key);
    await assert.rejects(guest(ended), said("job_not_running", /^job once is not running/));
    await call("POST", `${JOBS}/once/stop`);
    assert.match((await mustSignIn("once", key)).refusal ?? "", /more than one account/);

    await submit({ name: "twice", workspace_id: "twice", persistent: true });
    await call("POST", `${JOBS}/twice/stop`);
    await other.idle("twice");
    assert.match((await mustSignIn("twice", key)).refusal ?? "", /more than one account/);
  });

  it("finds workspaces of which no job is known, and says what starts them", async () => {
    const key = newKey();
    await addKey(admin, key);
    await submit({ name: "saved", workspace_id: "saved", persistent: true });
    await call("POST", `${JOBS}/saved/stop`);
    await plane.database.run((db) => db.deleteFrom("job_events").execute());
    await plane.database.run((db) => db.deleteFrom("jobs").where("name", "=", "saved").execute());
    const user = await mustSignIn("saved", key);
    await assert.rejects(guest(user), said("job_not_running", /saved is not running: "mags ssh saved" starts it/));
  });
});

describe("the guest of a connection", () => {
  it("is that of the job that has the name now", async () => {
    const key = newKey();
    await addKey(admin, key);
    const { sandbox } = await idle("moves");
    const user = await mustSignIn("moves", key);
    assert.equal(await guest(user), sandbox);
    await call("POST", `${JOBS}/moves/stop`);
    const ended = said("job_not_running", /^job moves is not running: it has ended \(completed\); "mags ssh moves"/);
    await assert.rejects(guest(user), ended);
    await idle("moves");
    assert.equal(await guest(user), newestSandbox());
    assert.notEqual(newestSandbox(), sandbox);
  });

  it("is gone with the job that the key was of", async () => {
    const { id } = await idle("short");
    const given = await access("short");
    const user = await mustSignIn("root", publicOf(given));
    assert.ok(await guest(user));
    await call("POST", `${JOBS}/short/stop`);
    await idle("short");
    await assert.rejects(guest(user), said("job_not_running", /^job short is not running: it has ended/));
    assert.equal(user.jobId, id);
  });

  it("is none's whose key was removed meanwhile, as also that of another account would be", async () => {
    const key = newKey();
    const id = await addKey(admin, key, "lost laptop");
    await addKey((await plane.addUser()).accountId, key);
    await idle("kept");
    const { ssh_port } = await access("kept");
    const users = [await mustSignIn("kept", key), await mustSignIn("root", key, ssh_port)];
    await removeKey(admin, id);
    for (const user of users) await assert.rejects(guest(user), said("forbidden", /laptop .* was removed meanwhile/));
  });

  it("is that of a script that runs, and waits for none that does not", async () => {
    const key = newKey();
    await addKey(admin, key);
    const id = await submit({ name: "script", script: "hang" });
    await untilStatus(id, "running");
    assert.equal(await guest(await mustSignIn("script", key)), id);
    plane.node.hold();
    await submit(KEPT("waits"));
    const user = await mustSignIn("waits", key);
    await assert.rejects(guest(user), said("no_vm", /no VM associated with this job yet: waits/));
    plane.node.release();
  });
});

describe("the end of a guest", () => {
  const until = (id: string, signal = new AbortController().signal) => directory().untilOver(id as GuestId, { signal });

  it("is told when its sandbox was stopped, not when it sleeps, and to who asks later at once", async () => {
    const { sandbox } = await idle("finite");
    let isOver = false;
    const over = until(sandbox).then(() => {
      isOver = true;
    });
    await call("POST", `${JOBS}/finite/sleep`);
    await call("POST", `${JOBS}/finite/wake`);
    assert.equal(isOver, false);
    await call("POST", `${JOBS}/finite/stop`);
    await over;
    await until(sandbox);
  });

  it("is told when a script has ended that has a microVM of its own", async () => {
    const id = await submit({ name: "brief", script: "hang" });
    await untilStatus(id, "running");
    const over = until(id);
    await call("POST", `${JOBS}/${id}/stop`);
    await over;
  });

  it("is waited for no longer than somebody wants to know", async () => {
    const { sandbox } = await idle("endless");
    const leaving = new AbortController();
    const over = until(sandbox, leaving.signal);
    leaving.abort(new Error("he has left"));
    await assert.rejects(over, /he has left/);
  });
});

describe("notes", () => {
  it("are kept and counted, and write down the use of the key", async () => {
    const key = newKey();
    const keyId = await addKey(admin, key, "noted");
    await idle("seen");
    const user = await mustSignIn("seen", key);
    const clientAddress = "192.0.2.7";
    const common = { login: "seen", clientAddress };
    directory().note({ ...common, what: "refused", user: null, data: { fingerprint: key.fingerprint } });
    directory().note({ ...common, what: "signed_in", user, data: {} });
    directory().note({ ...common, what: "session", user, data: { kind: "shell" } });
    const entries = await waitFor(
      async () => {
        const rows = await plane.database.run((db) =>
          db.selectFrom("audit_log").selectAll().where("client_address", "=", clientAddress).orderBy("id").execute(),
        );
        return rows.length === 3 && rows;
      },
      { what: "three entries" },
    );
    assert.deepEqual(
      entries.map(({ action, account_id, target }) => [action, account_id, target]),
      [
        ["ssh_refused", null, "seen"],
        ["ssh_signed_in", admin, "seen"],
        ["ssh_session", admin, "seen"],
      ],
    );
    const { fingerprint } = key;
    assert.deepEqual(entries[2]?.data, { kind: "shell", login: "seen", key: "noted", fingerprint });
    const used = () =>
      plane.database.run((db) =>
        db.selectFrom("account_ssh_keys").select("last_used_at").where("id", "=", keyId).executeTakeFirstOrThrow(),
      );
    await waitFor(async () => (await used()).last_used_at !== null, { what: "its use" });
    const metrics = await (await fetch(`${plane.url}/metrics`)).text();
    for (const [result, count] of [
      ["signed_in", 1],
      ["refused", 1],
      ["ended", 0],
    ])
      assert.ok(metrics.includes(`mags_ssh_connections_total{result="${result}"} ${count}\n`), metrics);
  });
});
