import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createTestReport, type TestEvent } from "./test-report.ts";

const FILE = "/repo/packages/a/src/a.test.ts";

function reportOf(...events: readonly TestEvent[]) {
  let text = "";
  const report = createTestReport("/repo", (part) => {
    text += part;
  });
  for (const event of events) report.add(event);
  return { report, text };
}

const result = (type: string, name: string, nesting: number, details: TestEvent["data"]["details"] = {}) => [
  { type: "test:start", data: { name, nesting, file: FILE } },
  { type, data: { name, nesting, file: FILE, details } },
];
const total = (passed: number, failed: number, cancelled: number) => ({
  type: "test:summary",
  data: { counts: { passed, failed, cancelled } },
});

describe("createTestReport", () => {
  it("counts what was cancelled as failed, over several runs", () => {
    const { report } = reportOf(total(5, 1, 2), total(10, 0, 0));
    assert.deepEqual([report.passed, report.failed], [15, 3]);
  });

  it("shows a failed test with the suites around it and its error, but not the suite's own failure", () => {
    const error = Object.assign(new Error("test failed"), { cause: new Error("1 is not 2") });
    const { text } = reportOf(
      { type: "test:start", data: { name: "suite", nesting: 0, file: FILE } },
      ...result("test:fail", "adds up", 1, { error }),
      {
        type: "test:fail",
        data: {
          name: "suite",
          nesting: 0,
          file: FILE,
          details: { error: { failureType: "subtestsFailed" }, type: "suite" },
        },
      },
    );
    assert.match(text, /✖ packages\/a\/src\/a\.test\.ts › suite › adds up\n {4}Error: 1 is not 2\n/);
    assert.equal(text.match(/✖/g)?.length, 1);
  });

  it("shows what went wrong first, and what cleaning up met after it", () => {
    const both = Object.assign(new Error("An error was suppressed during disposal"), {
      name: "SuppressedError",
      error: new Error("it does not stop"),
      suppressed: new Error("1 is not 2"),
    });
    const error = Object.assign(new Error("test failed"), { cause: both });
    const { text } = reportOf(...result("test:fail", "adds up", 0, { error }));
    assert.match(text, /Error: 1 is not 2\n.*and then, while cleaning up:\n {8}Error: it does not stop\n/s);
  });

  it("shows what a file that crashed has said, and what a good one has not", () => {
    const { text } = reportOf(
      { type: "test:stderr", data: { file: FILE, message: "SyntaxError: oops\n" } },
      { type: "test:fail", data: { name: FILE, nesting: 0, file: FILE, details: { error: new Error("exit code 1") } } },
    );
    assert.match(text, /✖ packages\/a\/src\/a\.test\.ts: exit code 1\n {4}output of .*\n {4}SyntaxError: oops\n/);
    const good = reportOf(
      { type: "test:stdout", data: { file: FILE, message: "chatter\n" } },
      { type: "test:summary", data: { file: FILE, counts: { passed: 3, failed: 0, cancelled: 0 }, duration_ms: 1234 } },
    );
    assert.equal(good.text, "✔ packages/a/src/a.test.ts: 3 passed (1.2 s)\n");
  });

  it("says why a test was skipped", () => {
    const { text } = reportOf({ type: "test:pass", data: { name: "boots", nesting: 0, file: FILE, skip: "no KVM" } });
    assert.equal(text, "- packages/a/src/a.test.ts › boots: skipped, no KVM\n");
  });

  it("knows which files are running and which tests were slowest", () => {
    const { report } = reportOf(
      { type: "test:dequeue", data: { name: FILE, file: FILE } },
      { type: "test:dequeue", data: { name: "/repo/b.test.ts", file: "/repo/b.test.ts" } },
      ...result("test:pass", "slow", 0, { duration_ms: 2500 }),
      ...result("test:pass", "quick", 0, { duration_ms: 40 }),
      { type: "test:complete", data: { name: FILE, file: FILE } },
    );
    assert.deepEqual(report.running(), ["b.test.ts"]);
    assert.equal(report.slowest()[0], "    2.5 s  packages/a/src/a.test.ts › slow");
  });
});
