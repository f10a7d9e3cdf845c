import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { AppError, isAppError, silentLogger, systemClock } from "@mags/core";
import { newJobId } from "@mags/domain";
import { createSimulatedNode, waitFor } from "@mags/test-kit";
import type { Job } from "./job.ts";
import { createJobChanges } from "./job-changes.ts";
import type { JobStore } from "./job-store.ts";
import { createJobWriter } from "./job-writer.ts";
import type { Policies } from "./policies.ts";
import type { SandboxReports } from "./sandbox-reports.ts";
import type { SandboxStore } from "./sandbox-store.ts";
import { stopJob } from "./stop-job.ts";
import type { WorkspaceRecords } from "./workspace-records.ts";

const timings = { submitted() {}, started() {}, firstOutput() {}, ended() {} };

describe("stopJob", () => {
  it("does not wait longer than its patience for a database that is away, and goes on when it is back", async () => {
    let away = true;
    const done: string[] = [];
    const write = async (what: string) => {
      if (away) throw new AppError("unavailable", "away");
      done.push(what);
      return { sandboxId: null };
    };
    const store = {
      get: async () => job,
      requestStop: () => write("stop_requested"),
      markEnded: () => write("ended"),
      // Stopping uses no other calls.
    } satisfies Partial<JobStore> as unknown as JobStore;
    // Of the job it uses no more.
    const job = { id: newJobId(), status: "running", sandbox: null } as Job;
    const node = createSimulatedNode();
    const changes = createJobChanges();
    const writer = createJobWriter({
      ...{ store, node, changes, timings, log: silentLogger, sandboxes: { async begun() {}, async failed() {} } },
    });
    const queue = { withdraw() {}, leave() {} };
    const base = { store, node, writer, queue, changes, clock: systemClock, log: silentLogger };
    // Without a sandbox these are not asked.
    const deps = {
      ...base,
      sandboxes: {} as SandboxStore,
      workspaces: {} as WorkspaceRecords,
      reports: {} as SandboxReports,
      policies: {} as Policies,
    };
    await assert.rejects(stopJob(deps, job, { patienceMs: 10 }), (error) => isAppError(error, "unavailable"));
    away = false;
    await waitFor(() => done.length === 2, { what: "the stop to be done" });
    assert.deepEqual(done, ["stop_requested", "ended"]);
    await writer.close({ deadlineMs: 1000 });
  });
});
