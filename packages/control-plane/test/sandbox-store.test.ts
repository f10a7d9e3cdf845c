import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { silentLogger } from "@mags/core";
import { type AccountId, type JobId, newJobId, newMicroVmId, newSandboxId, newSubdomain } from "@mags/domain";
import { sql } from "kysely";
import type { NewJob } from "../src/app/job.ts";
import { neverStarted, outcomeOf } from "../src/app/job-end.ts";
import type { JobStore } from "../src/app/job-store.ts";
import type { SandboxStore } from "../src/app/sandbox-store.ts";
import type { WorkspaceUse } from "../src/app/workspace-use.ts";
import { createAccountStore } from "../src/sql/account-store.ts";
import { type Database, openDatabase } from "../src/sql/database.ts";
import { createJobStore } from "../src/sql/job-store.ts";
import { createSandboxStore } from "../src/sql/sandbox-store.ts";
import { startTestServer, type TestServer } from "./support/database.ts";

const at = (ms: number) => new Date(Date.UTC(2026, 0, 1) + ms);
const event = (name: string, ms = 0) => ({ at: at(ms), name, data: {} });
const size = { image: "standard", vcpus: 2, memoryMiB: 1024, diskGiB: 2, egress: "filtered" } as const;
const microVmId = newMicroVmId();

let server: TestServer;
let database: Database;
let jobs: JobStore;
let sandboxes: SandboxStore;
let accountId: AccountId;
before(async () => {
  server = await startTestServer();
  database = await openDatabase({ log: silentLogger }, { address: await server.database() });
  jobs = createJobStore(database);
  sandboxes = createSandboxStore(database);
  accountId = randomUUID() as AccountId;
  await createAccountStore(database).add({
    ...{ id: accountId, email: "a@localhost", name: "a", role: "user", bootstrap: false, createdAt: at(0) },
  });
});
after(async () => {
  await database[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});

function newJob(workspaceId: string | null, fields: Partial<NewJob> = {}): NewJob {
  return {
    ...{ id: newJobId(), accountId, name: "j", command: { kind: "inline", script: "x" }, environment: {}, size },
    ...{ timeoutMs: null, labels: {}, noSync: true, fileIds: [], workspaceId, persistent: true, noSleep: false },
    ...{ startupCommand: "serve", idleMinutes: 7, endless: false, sandbox: null, createdAt: at(0) },
    ...fields,
  };
}

const NOTHING = { from: null, syncTo: null, found: null };

/** A first job, and its sandbox. */
async function insert(workspaceId: string | null, fields: Partial<NewJob> = {}) {
  const id = newSandboxId();
  const planned = newJob(workspaceId, fields);
  const job = { ...planned, sandbox: { id, makes: true, owns: planned.persistent } };
  const insert = () => sandboxes.insertFirst(job, { ...NOTHING, id, subdomain: newSubdomain() }, [event("submitted")]);
  return { id, job, insert, result: await insert() };
}

/** As `insert`, and its script runs. */
async function begin(workspaceId: string | null, fields: Partial<NewJob> = {}) {
  const inserted = await insert(workspaceId, fields);
  await jobs.markStarted(inserted.job.id, { microVmId, startedAt: at(1) }, event("started"));
  await sandboxes.markBegun(inserted.id, microVmId, at(1));
  return inserted;
}

const joins =
  (fields: Partial<Extract<WorkspaceUse, { kind: "join" }>> = {}): (() => WorkspaceUse) =>
  () => ({ kind: "join", owns: false, takesOver: null, size, promotesTo: null, ...fields });
const eventNames = async (id: JobId) => (await jobs.events(id, 0)).map(({ name }) => name);
const outcome = outcomeOf(neverStarted(at(3))).outcome;

describe("a first job", () => {
  it("is stored with its sandbox, once, and a second one on its workspace is not", async () => {
    const first = await insert("once");
    assert.equal(first.result, "stored");
    assert.equal(await first.insert(), "stored");
    assert.equal((await insert("once")).result, "taken");
    assert.equal((await insert(null)).result, "stored");
    assert.equal((await insert(null)).result, "stored");
    const found = await sandboxes.ofWorkspace(accountId, "once");
    assert.deepEqual(found, {
      ...{ id: first.id, accountId, workspaceId: "once", state: "starting", kept: true, ownerJobId: first.job.id },
      ...{ microVmId: null, size, from: null, syncsTo: null },
    });
    assert.deepEqual(await eventNames(first.job.id), ["submitted"]);
    const start = await jobs.loadStart(first.job.id);
    assert.deepEqual(start?.sandbox, { id: first.id, makes: true, owns: true });
    assert.deepEqual(start?.policyFacts, {
      ...{
        kept: true,
        named: true,
        egress: "filtered",
        syncTo: null,
        owner: { noSleep: false, idleMinutes: 7, startupCommand: "serve" },
      },
    });
    assert.deepEqual(await sandboxes.policyFacts(first.id), start?.policyFacts);
  });

  it("brings its sandbox into being when it starts, and ends it when it never does", async () => {
    const begun = await begin("begun");
    assert.equal((await sandboxes.get(begun.id))?.state, "running");
    const end = { at: at(4), message: "gone", onlyStarting: true };
    assert.deepEqual(await sandboxes.end(begun.id, end, event("x")), []);
    assert.equal((await sandboxes.get(begun.id))?.state, "running");

    const never = await insert("never");
    await jobs.markEnded(never.job.id, outcome, event("stopped"));
    await sandboxes.end(never.id, end, event("x"));
    assert.equal(await sandboxes.ofWorkspace(accountId, "never"), null);
    assert.equal((await insert("never")).result, "stored");
  });
});

describe("a job that joins", () => {
  it("is stored as it is decided, once, and takes over from the owner", async () => {
    const { id, job } = await begin("joined");
    const heir = newJob("joined");
    const decide = joins({ owns: true, takesOver: job.id, size: { ...size, egress: "none" } });
    for (let n = 0; n < 2; n++)
      assert.deepEqual(await sandboxes.join(heir, [event("submitted")], decide), { kind: "joined" });
    const before = await jobs.get(job.id);
    assert.deepEqual([before?.status, before?.completedAt], ["completed", heir.createdAt]);
    assert.deepEqual(await eventNames(job.id), ["submitted", "started", "taken_over"]);
    const found = await sandboxes.get(id);
    assert.deepEqual([found?.ownerJobId, found?.size.egress], [heir.id, "none"]);
    const stored = await jobs.get(heir.id);
    const { makes, owns } = stored?.sandbox ?? {};
    assert.deepEqual([makes, owns, stored?.sandbox?.id], [false, true, id]);
    assert.deepEqual((await jobs.loadStart(heir.id))?.size.egress, "none");
  });

  it("sees the sandbox with the jobs in it, and is not stored when it is refused", async () => {
    const { id, job } = await begin("full", { name: "first", endless: true });
    const refused: WorkspaceUse = { kind: "busy", scripts: [] };
    const late = newJob("full");
    const result = await sandboxes.join(late, [], ({ sandbox, jobs: inside }) => {
      assert.equal(sandbox.id, id);
      assert.deepEqual(inside, [{ id: job.id, name: "first", status: "running", scriptOver: false, endless: true }]);
      return refused;
    });
    assert.deepEqual(result, { kind: "refused", use: refused });
    assert.equal(await jobs.get(late.id), null);
    assert.deepEqual(await sandboxes.join(newJob("nothing"), [], joins()), { kind: "gone" });
  });

  it("does not meet another on the way", async () => {
    const { job } = await begin("crowded");
    await jobs.markScriptEnded(job.id, { exitCode: 0, scriptDurationMs: 1, endedAt: at(2) }, event("script_ended"));
    let joined = 0;
    const results = await Promise.all(
      Array.from({ length: 8 }, () =>
        sandboxes.join(newJob("crowded", { persistent: false }), [], ({ jobs: inside }) =>
          inside.some(({ scriptOver }) => !scriptOver) ? { kind: "busy", scripts: [] } : joins()(),
        ),
      ),
    );
    for (const { kind } of results) if (kind === "joined") joined++;
    assert.equal(joined, 1);
  });
});

describe("the end of a script", () => {
  it("leaves the owner, ends others, and ends the owner that is to be stopped", async () => {
    const { id, job } = await begin("scripts");
    const exited = outcomeOf({ kind: "exited", exitCode: 3, timedOut: false, durationMs: 5, endedAtMs: 0 }).outcome;
    assert.equal(await jobs.markEnded(job.id, exited, event("completed"), { owners: "stopping" }), null);
    const over = { exitCode: 3, scriptDurationMs: 5, endedAt: at(2) };
    assert.deepEqual(await jobs.markScriptEnded(job.id, over, event("script_ended")), { sandboxId: id });
    assert.equal(await jobs.markScriptEnded(job.id, over, event("script_ended")), null);
    const stored = await jobs.get(job.id);
    assert.deepEqual([stored?.status, stored?.exitCode, stored?.scriptEndedAt], ["running", 3, at(2)]);

    const guest = newJob("scripts", { persistent: false });
    await sandboxes.join(guest, [], joins());
    assert.deepEqual(await jobs.markEnded(guest.id, exited, event("completed"), { owners: "stopping" }), {
      sandboxId: id,
    });

    await jobs.requestStop(job.id, event("stop_requested"));
    assert.equal(await sandboxes.ofWorkspace(accountId, "scripts"), null);
    assert.equal((await sandboxes.live()).find((live) => live.id === id)?.releaseRequested, true);
    assert.ok(await jobs.markEnded(job.id, outcome, event("stopped"), { owners: "stopping" }));
    assert.equal((await jobs.get(job.id))?.exitCode, 3);
  });

  it("ends an owner whose script never began", async () => {
    const { id, job } = await begin("unbegun");
    const heir = newJob("unbegun");
    await sandboxes.join(heir, [], joins({ owns: true, takesOver: job.id }));
    assert.equal(await jobs.markEnded(heir.id, outcome, event("failed"), { owners: "stopping" }), null);
    assert.ok(await jobs.markEnded(heir.id, outcome, event("failed"), { owners: "unstarted" }));
    assert.deepEqual(await sandboxes.policyFacts(id), {
      kept: true,
      named: true,
      egress: "filtered",
      owner: null,
      syncTo: null,
    });
  });
});

describe("a sandbox that changes", () => {
  const asleep = { state: "sleeping", microVmId: null, at: at(10) } as const;
  const transition = { name: "slept", reason: "idle", at: at(10).toISOString() };

  it("takes the jobs in it along, and tells its owner, once", async () => {
    const { id, job } = await begin("changes");
    const guest = newJob("changes", { persistent: false });
    await sandboxes.join(guest, [], joins());
    await jobs.markStarted(guest.id, { microVmId, startedAt: at(2) }, event("started"));
    const waits = newJob("changes", { persistent: false });
    await sandboxes.join(waits, [], joins());
    const reportId = randomUUID();
    for (let n = 0; n < 2; n++) {
      const changed = await sandboxes.markState(id, { ...asleep, transition }, event("slept", 10), reportId);
      assert.deepEqual(new Set(changed.map(({ jobId }) => jobId)), new Set([job.id, guest.id]));
    }
    const [owner, other, pending] = [await jobs.get(job.id), await jobs.get(guest.id), await jobs.get(waits.id)];
    assert.deepEqual([owner?.status, other?.status, pending?.status], ["sleeping", "sleeping", "pending"]);
    assert.deepEqual(owner?.sandbox?.lastTransition, transition);
    assert.deepEqual(await eventNames(job.id), ["submitted", "started", "slept"]);
    assert.deepEqual(await eventNames(guest.id), ["started"]);

    const next = newMicroVmId();
    const awake = { state: "running", microVmId: next, at: at(30), transition: null } as const;
    await sandboxes.markState(id, awake, event("woke", 30), randomUUID());
    const woken = await jobs.get(job.id);
    assert.deepEqual([woken?.status, woken?.microVmId], ["running", next]);
    assert.deepEqual(woken?.sandbox?.lastTransition, transition);

    const changed = await sandboxes.end(id, { at: at(40), message: "the node has none" }, event("sandbox_lost", 40));
    assert.deepEqual(new Set(changed.map(({ jobId }) => jobId)), new Set([job.id, waits.id]));
    assert.deepEqual((await jobs.get(job.id))?.errorMessage, "the node has none");
    assert.equal((await jobs.get(guest.id))?.status, "running");
    assert.deepEqual((await eventNames(job.id)).slice(-1), ["sandbox_lost"]);
    assert.deepEqual(await eventNames(waits.id), ["failed"]);
    assert.deepEqual(await sandboxes.end(id, { at: at(50), message: "" }, event("released")), []);

    const periods = await database.run((db) =>
      sql<{ began_at: Date; ended_at: Date }>`select began_at, ended_at from awake_periods
        where sandbox_id = ${id} order by began_at`.execute(db),
    );
    assert.deepEqual(periods.rows, [
      { began_at: at(1), ended_at: at(10) },
      { began_at: at(30), ended_at: at(40) },
    ]);
  });

  it("tells its newest job where it has no owner", async () => {
    const { id, job } = await begin("ownerless", { persistent: false });
    await jobs.markEnded(job.id, outcome, event("completed"));
    const newest = newJob("ownerless", { persistent: false });
    await sandboxes.join(newest, [], joins());
    await jobs.markEnded(newest.id, outcome, event("completed"));
    await sandboxes.end(id, { at: at(9), message: "" }, event("released"));
    assert.deepEqual((await eventNames(newest.id)).slice(-1), ["released"]);
    assert.ok(!(await eventNames(job.id)).includes("released"));
  });

  it("completes an owner that is to be stopped, and is released only where no job lives", async () => {
    const { id, job } = await begin("stopped");
    assert.equal(await sandboxes.requestRelease(id, at(5)), false);
    await jobs.requestStop(job.id, event("stop_requested"));
    assert.deepEqual(await sandboxes.end(id, { at: at(9), message: "removed" }, event("released")), [
      { jobId: job.id, status: "completed" },
    ]);
    assert.equal((await jobs.get(job.id))?.errorMessage, null);

    const warm = await begin("warm", { persistent: false });
    await jobs.markEnded(warm.job.id, outcome, event("completed"));
    assert.equal(await sandboxes.requestRelease(warm.id, at(5)), true);
    assert.equal(await sandboxes.ofWorkspace(accountId, "warm"), null);
    assert.equal((await insert("warm")).result, "stored");
    assert.deepEqual(await sandboxes.knownAmong([warm.id, newSandboxId()]), new Map([[warm.id, "live"]]));
  });

  it("gets a larger disk with its live jobs, never a smaller one", async () => {
    const { id, job } = await begin("disk");
    await sandboxes.raiseDisk(id, 9);
    await sandboxes.raiseDisk(id, 5);
    assert.equal((await sandboxes.get(id))?.size.diskGiB, 9);
    assert.equal((await jobs.get(job.id))?.size.diskGiB, 9);
  });

  it("is among the live ones with what the reconciler asks", async () => {
    const { id } = await insert("looked at");
    const found = (await sandboxes.live()).find((live) => live.id === id);
    assert.deepEqual(found, {
      ...{ id, accountId, state: "starting", microVmId: null, size, releaseRequested: false, makerLives: true },
      ...{ sync: null, hydrated: true },
    });
  });
});
