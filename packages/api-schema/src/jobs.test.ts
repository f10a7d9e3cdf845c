import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ExecBody, SubmitJob } from "./jobs.ts";

const base = { script: "echo hi", type: "inline" };

function refusal(body: unknown): string {
  const result = SubmitJob.safeParse(body);
  assert.equal(result.success, false);
  return result.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`).join("; ");
}

describe("SubmitJob", () => {
  it("fills in the defaults and drops unknown keys", () => {
    assert.deepEqual(SubmitJob.parse({ ...base, surprise: 1 }), {
      ...base,
      persistent: false,
      environment: {},
      labels: {},
      no_sync: false,
      no_sleep: false,
    });
  });

  it("names type and its two values when it is missing or wrong", () => {
    for (const body of [{ script: "echo" }, { script: "echo", type: "shell" }])
      assert.match(refusal(body), /^type: .*"inline".*"url"/);
  });

  it("refuses scripts that are empty, too large or no text", () => {
    assert.match(refusal({ ...base, script: " \n\t" }), /^script: is empty/);
    assert.match(refusal({ ...base, script: "a\0b" }), /^script: contains a NUL/);
    assert.match(refusal({ ...base, script: "\ud800" }), /^script: contains broken surrogate/);
    assert.match(refusal({ ...base, script: "é".repeat(524_289) }), /^script: is larger than 1 MiB/);
    assert.ok(SubmitJob.safeParse({ ...base, script: "é".repeat(524_288) }).success);
  });

  it("takes only http and https addresses for type url", () => {
    for (const script of ["echo hi", "file:///etc/passwd", "ftp://x/y", "/relative"])
      assert.match(refusal({ script, type: "url" }), /^script: must be an http or https address/);
    assert.ok(SubmitJob.safeParse({ script: "https://example.org/x.sh", type: "url" }).success);
  });

  it("refuses names that could be an id or a path", () => {
    for (const name of ["usage", "pool-status", "0123abcd-0123-4123-8123-0123456789ab", "-x", "a b", "x".repeat(64)])
      assert.match(refusal({ ...base, name }), /^name: /);
  });

  it("takes egress policies, and says what is wrong with others", () => {
    for (const egress of ["filtered", "none", null, { allow: ["PyPI.org", "*.pythonhosted.org"] }])
      assert.ok(SubmitJob.safeParse({ ...base, egress }).success, JSON.stringify(egress));
    const hosts = Array.from({ length: 65 }, (_, n) => `h${n}.test`);
    const cases = [
      ["open", /^egress: must be "filtered"/],
      [{ allow: [] }, /"none"/],
      [{ allow: hosts }, /at most 64/],
      [{ allow: ["*"] }, /host name/],
      [{ allow: ["a.b"], deny: [] }, /^egress/],
    ] as const;
    for (const [egress, reason] of cases) assert.match(refusal({ ...base, egress }), reason);
  });

  it("refuses environments that a process could not get", () => {
    for (const environment of [{ "A=B": "x" }, { "1A": "x" }, { A: "a\0b" }, { A: "x".repeat(70_000) }])
      assert.match(refusal({ ...base, environment }), /^environment/);
  });
});

describe("ExecBody", () => {
  it("has a default timeout and refuses commands that no process could get", () => {
    assert.deepEqual(ExecBody.parse({ command: "true" }), { command: "true", timeout: 30, encoding: "utf8" });
    for (const command of ["", "a\0b", "x".repeat(131_072)])
      assert.equal(ExecBody.safeParse({ command }).success, false);
  });
});
