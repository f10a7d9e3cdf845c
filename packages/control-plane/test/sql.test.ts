import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createConnection, createServer, type Socket } from "node:net";
import { after, before, describe, it } from "node:test";
import { isAppError, silentLogger } from "@mags/core";
import { type AccountId, type JobId, newJobId, newMicroVmId, type TokenId } from "@mags/domain";
import { makeTempDir, waitFor } from "@mags/test-kit";
import { sql } from "kysely";
import { Client } from "pg";
import type { NewJob } from "../src/app/job.ts";
import { createAccountStore } from "../src/sql/account-store.ts";
import { clientConfig, type DatabaseAddress } from "../src/sql/address.ts";
import { type Database, openDatabase } from "../src/sql/database.ts";
import { createJobStore } from "../src/sql/job-store.ts";
import { createUsageStore } from "../src/sql/usage-store.ts";
import { startTestServer, type TestServer } from "./support/database.ts";

const deps = { log: silentLogger };
const at = (ms: number) => new Date(Date.UTC(2026, 0, 1) + ms);
const event = (name: string, ms = 0) => ({ at: at(ms), name, data: { ms } });

let server: TestServer;
before(async () => {
  server = await startTestServer();
});
after(() => server[Symbol.asyncDispose]());

function newJob(accountId: AccountId, fields: Partial<NewJob> = {}): NewJob {
  const id = newJobId();
  return {
    id,
    accountId,
    name: `job-${id.slice(0, 8)}`,
    command: { kind: "inline", script: "echo hi" },
    environment: { A: "1" },
    size: { image: "standard", vcpus: 2, memoryMiB: 1024, diskGiB: 2, egress: "filtered" },
    timeoutMs: 86_400_000_000,
    labels: { team: "a" },
    noSync: false,
    fileIds: [],
    ...{ workspaceId: null, persistent: false, noSleep: false, startupCommand: null, idleMinutes: null },
    ...{ endless: false, sandbox: null, createdAt: at(0) },
    ...fields,
  };
}

async function addAccount(database: Database): Promise<AccountId> {
  const id = randomUUID() as AccountId;
  const account = {
    id,
    email: `${id}@localhost`,
    name: "x",
    role: "user",
    bootstrap: false,
    createdAt: at(0),
  } as const;
  assert.equal(await createAccountStore(database).add(account), true);
  return id;
}

/** A connection as another process has it. */
async function connect(address: DatabaseAddress): Promise<AsyncDisposable & { readonly client: Client }> {
  const client = new Client(clientConfig(address));
  await client.connect();
  return { client, [Symbol.asyncDispose]: () => client.end() };
}

describe("openDatabase", () => {
  it("makes an installation, keeps its id, and raises the epoch at each start", async () => {
    const address = await server.database();
    const first = await openDatabase(deps, { address });
    assert.equal(first.installation.epoch, 1);
    await first[Symbol.asyncDispose]();
    await using second = await openDatabase(deps, { address, installationId: first.installation.id });
    assert.deepEqual(second.installation, { id: first.installation.id, epoch: 2 });
  });

  it("refuses the database of another installation", async () => {
    const address = await server.database();
    await using first = await openDatabase(deps, { address });
    const { id } = first.installation;
    await first[Symbol.asyncDispose]();
    const other = randomUUID();
    await assert.rejects(openDatabase(deps, { address, installationId: other }), (error) => {
      assert.ok(isAppError(error, "unavailable"));
      return error.message.includes(id) && error.message.includes(other);
    });
  });

  it("refuses a database that another process uses", async () => {
    const address = await server.database();
    await using _first = await openDatabase(deps, { address });
    await assert.rejects(openDatabase(deps, { address, startPatienceMs: 0 }), /another magsd is using this database/);
  });

  it("refuses a database that a newer version used", async () => {
    const address = await server.database();
    const first = await openDatabase(deps, { address });
    await first.run((db) => sql`insert into kysely_migration values ('9999_later', 'now')`.execute(db));
    await first[Symbol.asyncDispose]();
    await assert.rejects(openDatabase(deps, { address }), /newer version/);
  });

  it("gives up ownership when another process took over while its connection was cut", async () => {
    const address = await server.database();
    let lost = 0;
    await using first = await openDatabase({ ...deps, onLost: () => lost++ }, { address });
    // As another process would in the gap: the lock's connection is cut, the epoch rises.
    await first.run(async (db) => {
      await sql`update installation set epoch = epoch + 1`.execute(db);
      await sql`select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory'
        and database = (select oid from pg_database where datname = current_database())`.execute(db);
    });
    await waitFor(() => lost === 1, { what: "the loss to show" });
    await assert.rejects(first.ping(), /taken the database over/);
  });

  it("does nothing while another process holds the lock, and gives up once that one has raised the epoch", async () => {
    const address = await server.database();
    let lost = 0;
    await using first = await openDatabase({ ...deps, onLost: () => lost++ }, { address });
    await using other = await connect(address);
    // It waits in the lock's queue, so it comes before any later try of the first.
    const taken = other.client.query("select pg_advisory_lock($1)", [0x6d616773]);
    await waitFor(
      () =>
        first.run(async (db) => {
          const waiting = await sql`select from pg_locks where locktype = 'advisory' and not granted
            and database = (select oid from pg_database where datname = current_database())`.execute(db);
          return waiting.rows.length === 1;
        }),
      { what: "the other to wait" },
    );
    await first.run((db) =>
      sql`select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and granted
        and database = (select oid from pg_database where datname = current_database())`.execute(db),
    );
    await taken;
    await waitFor(
      () =>
        first.ping().then(
          () => false,
          () => true,
        ),
      { what: "the loss to be noticed" },
    );
    await assert.rejects(first.ping(), /does not answer now/);
    assert.equal(lost, 0);
    await other.client.query("update installation set epoch = epoch + 1");
    await waitFor(() => lost === 1, { what: "the takeover to be noticed" });
    await assert.rejects(first.ping(), /taken the database over/);
  });

  it("notices that its connection was cut without a word", async () => {
    const address = await server.database();
    await using dir = await makeTempDir();
    const socket = "/.s.PGSQL.5432";
    const connections: (readonly [Socket, Socket])[] = [];
    // What a network may do: the server's end is gone, and the client is not told.
    const between = createServer((client) => {
      const upstream = createConnection(("host" in address ? address.host : "") + socket);
      connections.push([client, upstream]);
      client.pipe(upstream).pipe(client, { end: false });
    });
    between.listen(dir.path + socket);
    await once(between, "listening");
    try {
      await using database = await openDatabase(deps, { address: { ...address, host: dir.path }, beatMs: 200 });
      const [ownership] = connections;
      ownership?.[1].destroy();
      await waitFor(() => database.reconnects === 1, { what: "a new connection" });
      await database.ping();
    } finally {
      for (const [client] of connections) client.destroy();
      between.close();
    }
  });

  it("says that the database does not answer when there is none", async () => {
    const address: DatabaseAddress = { host: "/tmp/mags-nowhere", user: "mags", database: "mags" };
    await assert.rejects(openDatabase(deps, { address, startPatienceMs: 0 }), /does not answer/);
  });

  it("waits with statements for a server that restarts, and goes on", async () => {
    const address = await server.database();
    await using database = await openDatabase(deps, { address });
    await database.ping();
    process.kill(server.pid(), "SIGKILL");
    const { rows } = await database.run((db) => sql<{ one: number }>`select 1 as one`.execute(db));
    assert.equal(rows[0]?.one, 1);
    await waitFor(() => database.reconnects >= 1, { what: "the lock to be taken again" });
  });
});

describe("createJobStore", () => {
  let database: Database;
  before(async () => {
    database = await openDatabase(deps, { address: await server.database() });
  });
  after(() => database[Symbol.asyncDispose]());

  it("gives back what was inserted, once, however often the insert is repeated", async () => {
    const store = createJobStore(database);
    const job = newJob(await addAccount(database), { command: { kind: "url", url: "https://example.org/x" } });
    for (let n = 0; n < 2; n++) await store.insert(job, [event("submitted"), event("script_converted", 1)]);
    const found = await store.get(job.id);
    const { id, accountId, name, size, labels, noSync, createdAt } = job;
    assert.deepEqual(found, {
      ...{ id, accountId, name, size, labels, noSync, createdAt },
      ...{ status: "pending", microVmId: null, exitCode: null, errorMessage: null, scriptDurationMs: null },
      ...{ startedAt: null, completedAt: null, workspaceId: null, persistent: false, noSleep: false },
      ...{ startupCommand: null, idleMinutes: null, sandbox: null, scriptEndedAt: null },
    });
    const { command, environment, timeoutMs } = job;
    assert.deepEqual(await store.loadStart(id), {
      ...{ id, size, command, environment, timeoutMs, fileIds: [], sandbox: null, policyFacts: null },
      from: null,
    });
    const events = await store.events(id, 0);
    assert.deepEqual(
      events.map(({ id: _, ...rest }) => rest),
      [event("submitted"), event("script_converted", 1)],
    );
    assert.deepEqual(await store.events(id, events[0]?.id ?? 0), events.slice(1));
  });

  it("lets a job go from pending to running to its end, each step once", async () => {
    const store = createJobStore(database);
    const job = newJob(await addAccount(database));
    await store.insert(job, []);
    const started = { microVmId: newMicroVmId(), startedAt: at(5) };
    const outcome = {
      status: "completed",
      exitCode: 3,
      errorMessage: null,
      scriptDurationMs: 7,
      completedAt: at(12),
    } as const;
    const changed = { sandboxId: null };
    assert.deepEqual(await store.markStarted(job.id, started, event("started", 5)), changed);
    assert.equal(await store.markStarted(job.id, started, event("started", 5)), null);
    assert.equal(await store.loadStart(job.id), null);
    assert.deepEqual(await store.requestStop(job.id, event("stop_requested", 6)), changed);
    assert.equal(await store.requestStop(job.id, event("stop_requested", 7)), null);
    assert.deepEqual(await store.markEnded(job.id, outcome, event("completed", 12)), changed);
    assert.equal(await store.markEnded(job.id, outcome, event("completed", 12)), null);
    assert.equal(await store.requestStop(job.id, event("stop_requested", 13)), null);
    const found = await store.get(job.id);
    assert.deepEqual(
      { status: found?.status, exitCode: found?.exitCode, vm: found?.microVmId, took: found?.scriptDurationMs },
      { status: "completed", exitCode: 3, vm: started.microVmId, took: 7 },
    );
    const names = (await store.events(job.id, 0)).map((entry) => entry.name);
    assert.deepEqual(names, ["started", "stop_requested", "completed"]);
  });

  it("adds a repeated report once", async () => {
    const store = createJobStore(database);
    const job = newJob(await addAccount(database));
    await store.insert(job, []);
    const reportId = randomUUID();
    for (let n = 0; n < 3; n++) await store.addEvent(job.id, event("pool_empty"), reportId);
    assert.equal((await store.events(job.id, 0)).length, 1);
  });

  it("stores whatever a node says, as far as a database can hold it", async () => {
    const store = createJobStore(database);
    const job = newJob(await addAccount(database));
    await store.insert(job, []);
    const said = "a\0b\ud800";
    await store.addEvent(job.id, { at: at(0), name: "note", data: { message: said, deep: [said] } }, randomUUID());
    const end = {
      status: "error",
      exitCode: null,
      errorMessage: said,
      scriptDurationMs: null,
      completedAt: at(1),
    } as const;
    await store.markEnded(job.id, end, { at: at(1), name: "failed", data: { message: said } });
    const kept = "a\ufffdb\ufffd";
    assert.equal((await store.get(job.id))?.errorMessage, kept);
    assert.deepEqual(
      (await store.events(job.id, 0)).map((entry) => entry.data),
      [{ message: kept, deep: [kept] }, { message: kept }],
    );
  });

  it("finds by id and by name, a live job before a newer ended one, and never another account's", async () => {
    const store = createJobStore(database);
    const [mine, other] = [await addAccount(database), await addAccount(database)];
    const jobs = [0, 1, 2].map(() => newJob(mine, { name: "same" }));
    for (const job of jobs) await store.insert(job, []);
    const ids = jobs.map((job) => job.id);
    const newest = ids[2] as JobId;
    assert.equal((await store.find(mine, "same"))?.id, newest);
    const end = {
      status: "error",
      exitCode: null,
      errorMessage: "x",
      scriptDurationMs: null,
      completedAt: at(1),
    } as const;
    await store.markEnded(newest, end, event("failed"));
    assert.equal((await store.find(mine, "same"))?.id, ids[1]);
    for (const id of ids.slice(0, 2)) await store.markEnded(id, end, event("failed"));
    assert.equal((await store.find(mine, "same"))?.id, newest);
    assert.equal((await store.find(mine, newest.toUpperCase()))?.id, newest);
    for (const key of ["same", newest]) assert.equal(await store.find(other, key), null);
  });

  it("lists newest first, in pages, filtered by status, name and label", async () => {
    const store = createJobStore(database);
    const mine = await addAccount(database);
    const jobs = ["a", "b", "c"].map((name) => newJob(mine, { name, labels: { letter: name } }));
    for (const job of jobs) await store.insert(job, []);
    const names = async (filter: Parameters<typeof store.list>[1], limit = 10, offset = 0) => {
      const page = await store.list(mine, filter, { limit, offset });
      return `${page.jobs.map((job) => job.name).join("")}/${page.total}`;
    };
    assert.equal(await names({}), "cba/3");
    assert.equal(await names({}, 2), "cb/3");
    assert.equal(await names({}, 2, 2), "a/3");
    assert.equal(await names({}, 2, 4), "/3");
    assert.equal(await names({ name: "b" }), "b/1");
    assert.equal(await names({ label: { key: "letter", value: "c" } }), "c/1");
    assert.equal(await names({ status: "running" }), "/0");
  });

  it("tells which jobs live, in order of creation, and the states of those asked for", async () => {
    const store = createJobStore(database);
    const mine = await addAccount(database);
    const [first, second, third] = [newJob(mine), newJob(mine), newJob(mine)];
    for (const job of [first, second, third]) await store.insert(job, []);
    await store.requestStop(second.id, event("stop_requested"));
    await store.markEnded(
      first.id,
      { status: "completed", exitCode: 0, errorMessage: null, scriptDurationMs: 0, completedAt: at(1) },
      event("completed"),
    );
    const own = (await store.live()).filter((job) => [first.id, second.id, third.id].includes(job.id));
    const size = { vcpus: 2, memoryMiB: 1024, diskGiB: 2 };
    const fields = { accountId: mine, image: "standard", size, status: "pending", sandbox: null, scriptOver: false };
    assert.deepEqual(own, [
      { ...fields, id: second.id, stopRequested: true },
      { ...fields, id: third.id, stopRequested: false },
    ]);
    const unknown = newJobId();
    const statuses = await store.statuses([first.id, third.id, unknown]);
    assert.deepEqual(Object.fromEntries(statuses), { [first.id]: "completed", [third.id]: "pending" });
  });

  it("sums up usage within the window", async () => {
    const store = createJobStore(database);
    const mine = await addAccount(database);
    const [done, running, old] = [newJob(mine), newJob(mine), newJob(mine, { createdAt: at(-1) })];
    for (const job of [done, running, old]) await store.insert(job, []);
    for (const job of [done, running, old])
      await store.markStarted(job.id, { microVmId: newMicroVmId(), startedAt: at(1_000) }, event("started"));
    for (const job of [done, old])
      await store.markEnded(
        job.id,
        { status: "completed", exitCode: 0, errorMessage: null, scriptDurationMs: 0, completedAt: at(3_500) },
        event("completed"),
      );
    const counts = {
      ...{ runningJobs: 1, failedJobs: 0, storageBytes: 0 },
      ...{ urlRequests: 0, urlBytesIn: 0, urlBytesOut: 0 },
    };
    const usage = createUsageStore(database);
    assert.deepEqual(await usage.summary(mine, { from: at(0), to: at(5_000) }), {
      ...counts,
      totalJobs: 2,
      completedJobs: 1,
      vmSeconds: 2.5 + 4 + 2.5,
    });
    assert.deepEqual(await usage.summary(mine, { from: at(3_000), to: at(5_000) }), {
      ...counts,
      totalJobs: 0,
      completedJobs: 0,
      vmSeconds: 0.5 + 2 + 0.5,
    });
  });
});

describe("createAccountStore", () => {
  it("keeps one bootstrap account, and tokens by their hash only", async () => {
    await using database = await openDatabase(deps, { address: await server.database() });
    const store = createAccountStore(database);
    const account = { id: randomUUID() as AccountId, email: "admin@localhost", name: "admin", role: "admin" } as const;
    const added = { ...account, bootstrap: true, createdAt: at(0) };
    assert.equal(await store.bootstrapAccount(), null);
    assert.equal(await store.add(added), true);
    assert.equal(await store.add({ ...added, id: randomUUID() as AccountId, email: "b@localhost" }), false);
    assert.deepEqual(await store.bootstrapAccount(), account);

    const token = { id: randomUUID() as TokenId, name: "cli", prefix: "mags_ab", createdAt: at(0) };
    await store.addToken({ ...token, accountId: account.id, hash: Buffer.alloc(32, 1) });
    assert.equal(await store.findByTokenHash(Buffer.alloc(32, 2)), null);
    assert.deepEqual(await store.findByTokenHash(Buffer.alloc(32, 1)), {
      account,
      tokenId: token.id,
      lastUsedAt: null,
    });
    await store.touchToken(token.id, at(9));
    await store.touchToken(token.id, at(5));
    assert.deepEqual(await store.tokens(account.id), [{ ...token, lastUsedAt: at(9) }]);
    assert.equal(await store.deleteToken(randomUUID() as AccountId, token.id), null);
    assert.deepEqual(await store.deleteToken(account.id, token.id), { name: "cli", prefix: "mags_ab" });
    assert.equal(await store.findByTokenHash(Buffer.alloc(32, 1)), null);
  });
});
