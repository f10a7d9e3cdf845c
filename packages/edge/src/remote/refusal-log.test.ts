import assert from "node:assert/strict";
import { describe, it, mock } from "node:test";
import type { LogFields } from "@mags/core";
import { createRefusalLog } from "./refusal-log.ts";

describe("what is refused, in the log", () => {
  it("are one line at once, and one a minute for those that follow", () => {
    mock.timers.enable({ apis: ["setTimeout"] });
    try {
      const lines: LogFields[] = [];
      const refusals = createRefusalLog({ info: (_, fields = {}) => void lines.push(fields) }, "refused");
      for (let n = 1; n <= 1_000; n++) refusals.note({ address: `192.0.2.${n % 250}` });
      assert.deepEqual(lines, [{ address: "192.0.2.1" }]);
      mock.timers.tick(60_000);
      assert.deepEqual(lines.slice(1), [{ address: "192.0.2.0", count: 999 }]);
      refusals.note({ address: "192.0.2.7" });
      assert.equal(lines.length, 2);
      refusals[Symbol.dispose]();
      assert.deepEqual(lines.slice(2), [{ address: "192.0.2.7", count: 1 }]);
      mock.timers.tick(120_000);
      refusals.note({ address: "192.0.2.8" });
      assert.equal(lines.length, 4);
    } finally {
      mock.timers.reset();
    }
  });
});
