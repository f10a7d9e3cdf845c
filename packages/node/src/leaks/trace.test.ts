import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type Expected, judge, mergeFootprints, type Owner, type Verdict } from "./trace.ts";

const running: Expected = {
  serverRuns: true,
  microVms: [
    { id: "parked", index: 1, pid: 11, jobId: null },
    { id: "busy", index: 2, pid: 12, jobId: "job" },
    { id: "starting", index: 3, pid: null, jobId: null },
  ],
  preparedIndexes: [4],
  work: ["disk-1"],
  execs: ["command"],
  outcomes: ["ended"],
  sandboxes: ["kept", "unknown"],
  unknownUploads: new Set<string>(),
  unknownSandboxes: new Set(["unknown"]),
  unknownJobs: new Set(["stranger"]),
};
/** The same after `kill -9`: what lives is known from its record. */
const stopped: Expected = {
  ...running,
  serverRuns: false,
  preparedIndexes: [],
  work: [],
  execs: [],
  outcomes: [],
  sandboxes: [],
  unknownJobs: new Set(),
  unknownSandboxes: new Set(),
};

const GOES_ON: Verdict = { kind: "goes-on", jobId: "job" };
const CASES: readonly [string, Owner, Verdict["kind"] | Verdict, Verdict["kind"] | Verdict][] = [
  ["what the installation keeps", { kind: "installation" }, "expected", "expected"],
  ["the control socket", { kind: "server" }, "expected", "next-start"],
  ["the directory of a microVM of a job", { kind: "microvm", id: "busy" }, "expected", GOES_ON],
  ["the directory of a parked microVM", { kind: "microvm", id: "parked" }, "expected", "next-start"],
  ["the directory of a microVM nobody knows", { kind: "microvm", id: "lost" }, "leak", "next-start"],
  ["the namespace of a microVM of a job", { kind: "index", index: 2 }, "expected", GOES_ON],
  ["the namespace of a parked microVM", { kind: "index", index: 1 }, "expected", "next-start"],
  ["a prepared namespace", { kind: "index", index: 4 }, "expected", "next-start"],
  ["a namespace with a number nobody has", { kind: "index", index: 9 }, "leak", "next-start"],
  ["the process of a microVM of a job", { kind: "index", index: 2, pid: 12 }, "expected", GOES_ON],
  ["another process with its uid", { kind: "index", index: 2, pid: 99 }, "leak", "next-start"],
  ["the process of a microVM that starts", { kind: "index", index: 3, pid: 13 }, "expected", "next-start"],
  ["a process with the uid of a prepared namespace", { kind: "index", index: 4, pid: 14 }, "leak", "next-start"],
  ["a process of the node's own while a disk is made", { kind: "index", index: 0, pid: 15 }, "expected", "next-start"],
  ["output of a job", { kind: "log", jobId: "job" }, "expected", "expected"],
  ["output of a job that the database does not have", { kind: "log", jobId: "stranger" }, "leak", "expected"],
  ["an end that is kept", { kind: "outcome", jobId: "ended" }, "expected", "next-start"],
  ["an end that was stored already", { kind: "outcome", jobId: "job" }, "leak", "next-start"],
  ["a sandbox", { kind: "sandbox", id: "kept" }, "expected", "expected"],
  ["a sandbox that the database does not have", { kind: "sandbox", id: "unknown" }, "leak", "expected"],
  ["a sandbox that the node does not have", { kind: "sandbox", id: "lost" }, "leak", "expected"],
  ["a streamed command", { kind: "exec", execId: "command" }, "expected", "next-start"],
  ["a streamed command that nobody knows", { kind: "exec", execId: "other" }, "leak", "next-start"],
  ["what is being made", { kind: "work", name: "disk-1" }, "expected", "next-start"],
  ["what somebody stopped making", { kind: "work", name: "disk-2" }, "leak", "next-start"],
  ["a write that was cut off", { kind: "nobody", swept: true }, "leak", "next-start"],
  ["what no start removes", { kind: "nobody", swept: false }, "leak", "leak"],
];

describe("judge", () => {
  const whole = (verdict: Verdict["kind"] | Verdict) => (typeof verdict === "string" ? { kind: verdict } : verdict);
  for (const [what, owner, whileRunning, whileStopped] of CASES)
    it(`knows ${what} while the server runs and while it does not`, () => {
      const trace = { what, name: "x", owner };
      assert.deepEqual(judge(trace, running), whole(whileRunning));
      assert.deepEqual(judge(trace, stopped), whole(whileStopped));
    });

  it("calls nothing a leak of the node's own uid only while something is made", () => {
    const own: Owner = { kind: "index", index: 0, pid: 15 };
    assert.equal(judge({ what: "process", name: "15", owner: own }, { ...running, work: [] }).kind, "leak");
  });
});

describe("mergeFootprints", () => {
  it("allows what was there before or after the look", () => {
    const none = { microVms: [], preparedIndexes: [], work: [], execs: [], outcomes: [], sandboxes: [] };
    const merged = { ...running, ...mergeFootprints(none, running) };
    for (const [what, owner, whileRunning] of CASES)
      assert.deepEqual(judge({ what, name: "x", owner }, merged), whole(whileRunning), what);
  });

  const whole = (verdict: Verdict["kind"] | Verdict) => (typeof verdict === "string" ? { kind: verdict } : verdict);
});
