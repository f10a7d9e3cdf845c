import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { AppError, silentLogger } from "@mags/core";
import { type JobId, type JobUpdate, newJobId, newMicroVmId } from "@mags/domain";
import { createSimulatedNode, waitFor } from "@mags/test-kit";
import { createJobChanges } from "./job-changes.ts";
import type { JobStore } from "./job-store.ts";
import { createJobWriter } from "./job-writer.ts";

const sandboxes = { async begun() {}, async failed() {} };
const timings = { submitted() {}, started() {}, firstOutput() {}, ended() {} };

/** A store that takes down what it is asked to change, and is away as long as `away` says. */
function recordingStore(away: (jobId: JobId) => boolean) {
  const written: string[] = [];
  const write = async (jobId: JobId, what: string) => {
    if (away(jobId)) throw new AppError("unavailable", "away");
    written.push(`${jobId} ${what}`);
    return { sandboxId: null };
  };
  const store = {
    markStarted: (jobId) => write(jobId, "started"),
    markEnded: (jobId, outcome) => write(jobId, outcome.status),
    addEvent: async (jobId, event) => {
      await write(jobId, event.name);
    },
  } satisfies Partial<JobStore>;
  // The writer uses no other calls.
  return { written, store: store as unknown as JobStore };
}

function setUp(away: (jobId: JobId) => boolean = () => false) {
  const { store, written } = recordingStore(away);
  const node = createSimulatedNode();
  const changes = createJobChanges();
  const writer = createJobWriter({ store, sandboxes, node, changes, timings, log: silentLogger });
  return { written, node, changes, writer };
}

const started = (jobId: JobId): JobUpdate => ({
  ...{ type: "started", jobId, microVmId: newMicroVmId(), startedAtMs: 0, origin: "slot", stagesMs: {} },
});
const note = (jobId: JobId, name: string): JobUpdate => ({ type: "note", jobId, name, atMs: 0, data: {} });
const ended = (jobId: JobId): JobUpdate => ({
  ...{ type: "ended", jobId, end: { kind: "exited", exitCode: 0, timedOut: false, durationMs: 0, endedAtMs: 0 } },
});

describe("createJobWriter", () => {
  it("stores the reports of a job in their order, and lets the node forget it after its end", async () => {
    const { written, node, writer } = setUp();
    const job = newJobId();
    for (const update of [started(job), note(job, "a"), note(job, "b"), ended(job)]) writer.handle(update);
    assert.deepEqual(node.acknowledged, []);
    await writer.close({ deadlineMs: 1000 });
    assert.deepEqual(
      written,
      ["started", "a", "b", "completed"].map((what) => `${job} ${what}`),
    );
    assert.deepEqual(node.acknowledged, [job]);
  });

  it("keeps what it cannot store until it can, and lets other jobs pass meanwhile", async () => {
    const [stuck, free] = [newJobId(), newJobId()];
    let away = true;
    const { written, node, writer } = setUp((jobId) => away && jobId === stuck);
    for (const update of [started(stuck), ended(stuck), started(free), ended(free)]) writer.handle(update);
    await waitFor(() => node.acknowledged.length === 1, { what: "the other job" });
    assert.deepEqual(written, [`${free} started`, `${free} completed`]);
    away = false;
    await waitFor(() => node.acknowledged.length === 2, { what: "the stuck job" });
    assert.deepEqual(written.slice(2), [`${stuck} started`, `${stuck} completed`]);
    await writer.close({ deadlineMs: 0 });
  });

  it("tells those who wait at once of the report, and again when it is stored", async () => {
    const { changes, writer, written } = setUp();
    const job = newJobId();
    const heard: string[] = [];
    const unsubscribe = changes.subscribe(job, (change) => heard.push(`${change} ${written.length}`));
    writer.handle(started(job));
    assert.deepEqual(heard, ["reported 0"]);
    await writer.close({ deadlineMs: 1000 });
    assert.deepEqual(heard, ["reported 0", "stored 1"]);
    unsubscribe();
  });

  it("stops what was started although its job has ended", async () => {
    const node = createSimulatedNode();
    const store = {
      markStarted: async () => null,
      markEnded: async () => null,
      markScriptEnded: async () => null,
      get: async () => ({ status: "completed" }),
    };
    const writer = createJobWriter({
      // The writer uses no other calls, and of the job only its status.
      store: store as unknown as JobStore,
      ...{ sandboxes, node, changes: createJobChanges(), timings, log: silentLogger },
    });
    node.onUpdate((update) => {
      if (update.type !== "sandbox") writer.handle(update);
    });
    const size = { image: "standard", vcpus: 1, memoryMiB: 512, diskGiB: 2, egress: "filtered" } as const;
    const command = { kind: "inline", script: "hang" } as const;
    node.start({
      jobId: newJobId(),
      size,
      command,
      environment: {},
      timeoutMs: null,
      sandbox: null,
      keepsAwake: false,
      fileIds: [],
    });
    await waitFor(() => node.acknowledged.length === 1, { what: "the job to be stopped and forgotten" });
    await writer.close({ deadlineMs: 1000 });
  });

  it("gives up at its end what cannot be stored in time", async () => {
    const { written, writer } = setUp(() => true);
    writer.handle(started(newJobId()));
    await writer.close({ deadlineMs: 0 });
    assert.deepEqual(written, []);
  });
});
