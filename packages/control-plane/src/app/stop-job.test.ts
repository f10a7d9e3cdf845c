import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { AppError, isAppError, silentLogger, systemClock } from "@mags/core";
import { newJobId } from "@mags/domain";
import { createSimulatedNode, waitFor } from "@mags/test-kit";
import type { Job } from "./job.ts";
import { createJobChanges } from "./job-changes.ts";
import type { JobStore } from "./job-store.ts";
import { createJobWriter } from "./job-writer.ts";
import { stopJob } from "./stop-job.ts";

const timings = { submitted() {}, started() {}, firstOutput() {}, ended() {} };

describe("stopJob", () => {
  it("does not wait longer than its patience for a database that is away, and goes on when it is back", async () => {
    let away = true;
    const done: string[] = [];
    const write = async (what: string) => {
      if (away) throw new AppError("unavailable", "away");
      done.push(what);
      return true;
    };
    const store = {
      requestStop: () => write("stop_requested"),
      markEnded: () => write("ended"),
      // Stopping uses no other calls.
    } satisfies Partial<JobStore> as unknown as JobStore;
    const node = createSimulatedNode();
    const changes = createJobChanges();
    const writer = createJobWriter({ store, node, changes, timings, log: silentLogger });
    // Of the job it uses no more.
    const job = { id: newJobId(), status: "running" } as Job;
    const queue = { withdraw() {}, leave() {} };
    const deps = { store, node, writer, queue, changes, clock: systemClock, log: silentLogger };
    await assert.rejects(stopJob(deps, job, { patienceMs: 10 }), (error) => isAppError(error, "unavailable"));
    away = false;
    await waitFor(() => done.length === 2, { what: "the stop to be done" });
    assert.deepEqual(done, ["stop_requested", "ended"]);
    await writer.close({ deadlineMs: 1000 });
  });
});
