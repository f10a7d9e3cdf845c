import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { AccountId, JobEnd, JobId, JobStatus, MicroVmId, ObservedJob, SandboxId } from "@mags/domain";
import fc from "fast-check";
import type { LiveJob } from "./job-store.ts";
import { planReconcile } from "./reconcile-plan.ts";
import type { SandboxState } from "./sandbox.ts";

const id = (name: string) => name as JobId;
const live = (name: string, status: JobStatus, stopRequested = false): LiveJob => ({
  id: id(name),
  accountId: "account" as AccountId,
  size: { vcpus: 1, memoryMiB: 1024, diskGiB: 2 },
  status,
  stopRequested,
  image: "standard",
  sandbox: null,
  scriptOver: false,
});
const end: JobEnd = { kind: "exited", exitCode: 0, timedOut: false, durationMs: 1, endedAtMs: 9 };
const seen = (name: string, fields: Partial<ObservedJob> = {}): ObservedJob => ({
  ...{ jobId: id(name), microVmId: null, state: "queued", startedAtMs: null, end: null },
  ...fields,
});
const onVm = { microVmId: "vm-1" as MicroVmId, startedAtMs: 5 };
const plan = (jobs: LiveJob[], observed: ObservedJob[], others: [string, JobStatus][] = []) =>
  planReconcile({ live: jobs, observed, others: new Map(others.map(([name, status]) => [id(name), status])) });

describe("planReconcile", () => {
  it("leaves pending jobs that the node does not know to the queue", () => {
    assert.deepEqual(plan([live("b", "pending"), live("a", "pending")], []), []);
  });

  it("counts a running job that the node does not know as lost", () => {
    assert.deepEqual(plan([live("a", "running")], []), [{ kind: "mark_lost", jobId: "a" }]);
    assert.deepEqual(plan([live("a", "running", true)], []), [{ kind: "mark_lost", jobId: "a" }]);
  });

  it("ends a pending job that was stopped before the node had it", () => {
    assert.deepEqual(plan([live("a", "pending", true)], []), [{ kind: "mark_never_started", jobId: "a" }]);
  });

  it("leaves jobs alone that both see alike", () => {
    assert.deepEqual(
      plan([live("a", "pending"), live("b", "running")], [seen("a"), seen("b", { state: "running", ...onVm })]),
      [],
    );
  });

  it("takes over a start, and then an end, that were never stored", () => {
    assert.deepEqual(plan([live("a", "pending")], [seen("a", { state: "ended", ...onVm, end })]), [
      { kind: "mark_started", jobId: "a", ...onVm },
      { kind: "mark_ended", jobId: "a", end },
    ]);
  });

  it("hands jobs over again that wait for a sandbox which exists", () => {
    const inside = (state: SandboxState, fields: Partial<LiveJob> = {}): LiveJob => ({
      ...live("a", "pending"),
      sandbox: { id: "s" as SandboxId, makes: false, owns: false, state },
      ...fields,
    });
    assert.deepEqual(plan([inside("running")], []), [{ kind: "hand_over", jobId: "a" }]);
    assert.deepEqual(plan([inside("sleeping")], []), [{ kind: "hand_over", jobId: "a" }]);
    assert.deepEqual(plan([inside("starting")], []), []);
    assert.deepEqual(plan([inside("gone")], []), [{ kind: "mark_lost", jobId: "a" }]);
    assert.deepEqual(plan([inside("running", { stopRequested: true })], []), [
      { kind: "mark_never_started", jobId: "a" },
    ]);
  });

  it("lets the owner of a sandbox live without its script, which may be lost", () => {
    const owner = (scriptOver: boolean, state: SandboxState): LiveJob => ({
      ...live("a", "running"),
      sandbox: { id: "s" as SandboxId, makes: true, owns: true, state },
      scriptOver,
    });
    assert.deepEqual(plan([owner(true, "running")], []), []);
    assert.deepEqual(plan([owner(false, "sleeping")], []), [{ kind: "mark_script_lost", jobId: "a" }]);
    assert.deepEqual(plan([owner(true, "gone")], []), [{ kind: "mark_lost", jobId: "a" }]);
    const stopped = { ...owner(false, "running"), stopRequested: true };
    assert.deepEqual(plan([stopped], [seen("a", { state: "running", ...onVm })]), []);
  });

  it("repeats a stop that was requested", () => {
    assert.deepEqual(plan([live("a", "running", true)], [seen("a", { state: "running", ...onVm })]), [
      { kind: "stop", jobId: "a", reason: "requested" },
    ]);
  });

  it("lets the node forget what is stored as ended, and stops what still runs of it", () => {
    const observed = [seen("a", { state: "ended", end }), seen("b", { state: "running", ...onVm })];
    assert.deepEqual(
      plan([], observed, [
        ["a", "completed"],
        ["b", "error"],
      ]),
      [
        { kind: "acknowledge", jobId: "a" },
        { kind: "stop", jobId: "b", reason: "ended" },
      ],
    );
  });

  it("stops and forgets what no database knows", () => {
    assert.deepEqual(plan([], [seen("a"), seen("b", { state: "ended", end })]), [
      { kind: "stop", jobId: "a", reason: "unknown" },
      { kind: "acknowledge", jobId: "b" },
    ]);
  });

  it("leaves a job alone that was submitted after the live ones were read", () => {
    assert.deepEqual(plan([], [seen("a")], [["a", "pending"]]), []);
  });

  it("never starts, loses or ends a job that the node still runs", () => {
    const names = fc.uniqueArray(fc.constantFrom<string>("a", "b", "c", "d"));
    const status = fc.constantFrom<JobStatus>("pending", "running");
    const state = fc.constantFrom("queued", "starting", "running");
    fc.assert(
      fc.property(names, names, status, state, fc.boolean(), (known, running, jobStatus, vmState, stop) => {
        const observed = running.map((name) => seen(name, { state: vmState as ObservedJob["state"], ...onVm }));
        for (const action of plan(
          known.map((name) => live(name, jobStatus, stop)),
          observed,
        ))
          if (running.includes(action.jobId)) assert.ok(["mark_started", "stop"].includes(action.kind), action.kind);
      }),
    );
  });
});
