import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { readdir, writeFile } from "node:fs/promises";
import { after, before, describe, it } from "node:test";
import { isAppError, silentLogger, systemClock } from "@mags/core";
import { type JobId, newJobId, newMicroVmId } from "@mags/domain";
import { createSimulatedNode, makeTempDir } from "@mags/test-kit";
import { startOf } from "../src/app/job.ts";
import { planJob } from "../src/app/new-job.ts";
import { createJobStore } from "../src/sql/job-store.ts";
import { createUploadRecords } from "../src/sql/upload-records.ts";
import { openUploads } from "../src/start-control-plane.ts";
import { startTestServer, type TestServer } from "./support/database.ts";
import { startTestPlane, type TestPlane } from "./support/plane.ts";

let server: TestServer;
let plane: TestPlane;
before(async () => {
  server = await startTestServer();
  plane = await startTestPlane(await server.database());
});
after(async () => {
  await plane[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});

async function addJob(fileIds: readonly string[]): Promise<JobId> {
  const { accountId } = await plane.addUser();
  const request = {
    ...{ name: null, command: { kind: "inline", script: "x" } as const, environment: {}, image: null, egress: null },
    ...{ vcpus: null, memoryMiB: null, diskGiB: null, timeoutMs: null, labels: {}, noSync: false, fileIds },
    ...{
      workspaceId: null,
      base: null,
      persistent: false,
      noSleep: false,
      startupCommand: null,
      idleMinutes: null,
      replace: false,
    },
  };
  const node = createSimulatedNode().describe();
  const { job } = planJob(request, { id: newJobId(), accountId, now: new Date(), node, idleMinutes: 10 });
  assert.deepEqual(startOf(job, null, { idleMinutes: 10, warmMs: 0 }).fileIds, fileIds);
  await createJobStore(plane.database).insert(job, [{ at: new Date(), name: "submitted", data: {} }]);
  return job.id;
}

describe("upload records", () => {
  it("go when they are old or their job has ended, unless a job waits for them", async () => {
    const records = createUploadRecords(plane.database);
    const store = createJobStore(plane.database);
    const { accountId } = await plane.addUser();
    const now = Date.UTC(2026, 0, 2);
    const add = async (createdAt: number) => {
      const id = randomUUID();
      await records.insert([{ id, accountId, name: "f", sizeBytes: 1, createdAt: new Date(createdAt) }]);
      return id;
    };
    const [fresh, old, oldAndWanted, used, usedAndWanted] = [
      await add(now),
      await add(now - 10),
      await add(now - 10),
      await add(now),
      await add(now),
    ];
    const waiting = await addJob([oldAndWanted, usedAndWanted]);
    const ended = await addJob([used, usedAndWanted]);
    assert.deepEqual((await store.loadStart(ended))?.fileIds, [used, usedAndWanted]);
    const event = { at: new Date(now), name: "x", data: {} };
    const end = { status: "completed", exitCode: 0, errorMessage: null, scriptDurationMs: 1 } as const;
    await store.markEnded(ended, { ...end, completedAt: new Date(now) }, event);
    assert.deepEqual((await records.removeExpired(new Date(now - 5))).toSorted(), [old, used].toSorted());
    const start = { microVmId: newMicroVmId(), startedAt: new Date(now) };
    await store.markStarted(waiting, start, event);
    const rest = await records.removeExpired(new Date(now - 5));
    assert.deepEqual(rest.toSorted(), [oldAndWanted, usedAndWanted].toSorted());
    assert.deepEqual([...(await records.known([fresh, old, used]))], [fresh]);
    assert.equal((await records.owned(accountId, [fresh])).size, 1);
    assert.equal((await records.owned((await plane.addUser()).accountId, [fresh])).size, 0);
  });
});

describe("openUploads", () => {
  it("removes what an earlier process left without a record, and keeps the rest", async () => {
    await using dir = await makeTempDir();
    const deps = { database: plane.database, clock: systemClock, log: silentLogger };
    const { accountId } = await plane.addUser();
    const content = async function* () {
      yield Buffer.from("kept");
    };
    let id: string | undefined;
    {
      await using uploads = await openUploads(deps, { directory: dir.path, maxBytesPerAccount: 0 });
      await using batch = uploads.begin(accountId);
      await batch.add("a", content());
      [id] = (await batch.keep()).map((record) => record.id);
    }
    assert.ok(id);
    for (const name of [randomUUID(), `${randomUUID()}.part`, "odd"]) await writeFile(`${dir.path}/${name}`, "x");
    await using uploads = await openUploads(deps, { directory: dir.path, maxBytesPerAccount: 0 });
    assert.deepEqual(await readdir(dir.path), [id]);
    const given = await uploads.open(id, { signal: AbortSignal.timeout(5_000) });
    for await (const piece of given.content) assert.equal(Buffer.from(piece).toString(), "kept");
    const missing = uploads.open(randomUUID(), { signal: AbortSignal.timeout(5_000) });
    await assert.rejects(missing, (error) => isAppError(error, "file_not_found"));
  });

  it("keeps the uploads of an account within its limit, also those sent at a time", async () => {
    await using dir = await makeTempDir();
    const deps = { database: plane.database, clock: systemClock, log: silentLogger };
    const [{ accountId }, other] = [await plane.addUser(), await plane.addUser()];
    await using uploads = await openUploads(deps, { directory: dir.path, maxBytesPerAccount: 10 });
    const bytes = async function* (count: number) {
      yield Buffer.alloc(count);
    };
    const upload = async (owner: typeof accountId, count: number) => {
      await using batch = uploads.begin(owner);
      await batch.add("a", bytes(count));
      await batch.keep();
    };
    const tooLarge = (error: unknown) => isAppError(error, "payload_too_large");
    await upload(accountId, 4);
    {
      await using first = uploads.begin(accountId);
      await first.add("a", bytes(4));
      await assert.rejects(upload(accountId, 4), tooLarge);
      await upload(other.accountId, 10);
    }
    await upload(accountId, 6);
    await assert.rejects(upload(accountId, 1), tooLarge);
    assert.equal((await readdir(dir.path)).length, 3);
  });
});
