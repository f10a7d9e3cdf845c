import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { judgeProbe } from "./probe.ts";

const ran = { kind: "ran", output: "KL", exitCode: 33, signal: null, elapsedMs: 40, stderr: "" } as const;

describe("judgeProbe", () => {
  it("accepts a guest that ran to its end in time", () => {
    assert.equal(judgeProbe(ran).works, true);
  });

  it("rejects, with the reason, a KVM that is missing, slow, wrong or dead", () => {
    const cases = [
      [{ kind: "no-device", message: "ENOENT" }, /cannot be opened: ENOENT/],
      [{ ...ran, elapsedMs: 950 }, /950 ms.*emulates/],
      [{ ...ran, output: "K" }, /before its end/],
      [{ ...ran, exitCode: 1 }, /ended with code 1/],
      [
        { ...ran, exitCode: null, signal: "SIGABRT", stderr: "failed to set MSR\nmore" },
        /SIGABRT .*\(failed to set MSR\)$/,
      ],
    ] as const;
    for (const [run, reason] of cases) {
      const verdict = judgeProbe(run);
      assert.equal(verdict.works, false);
      assert.match(verdict.reason, reason);
    }
  });
});
