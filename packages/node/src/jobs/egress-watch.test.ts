import assert from "node:assert/strict";
import { it } from "node:test";
import { silentLogger, systemClock } from "@mags/core";
import { type JobUpdate, newJobId } from "@mags/domain";
import { createEgressWatch } from "./egress-watch.ts";

it("a job's denials are looked at again after a look that failed, and once more at its end", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const reported: unknown[] = [];
  let looks = 0;
  const watch = createEgressWatch({
    async denials(index) {
      looks++;
      if (looks === 1) throw new Error("no answer");
      return [{ destination: `10.0.0.${index}:80/tcp`, count: looks }];
    },
    report: (update: JobUpdate) => void reported.push(update.type === "note" && [update.name, update.data]),
    clock: systemClock,
    log: silentLogger,
  });
  const jobId = newJobId();
  const elapse = async (ms: number) => {
    for (let n = 0; n < 10; n++) await new Promise(setImmediate);
    t.mock.timers.tick(ms);
    for (let n = 0; n < 10; n++) await new Promise(setImmediate);
  };
  watch.begin(jobId, 7);
  await elapse(2_000);
  assert.deepEqual([looks, reported], [1, []]);
  await elapse(4_000);
  assert.deepEqual(reported, [["egress_denied", { destination: "10.0.0.7:80/tcp", count: 2 }]]);
  await watch.end(jobId);
  assert.deepEqual(reported[1], ["egress_denied", { destination: "10.0.0.7:80/tcp", count: 3 }]);
  await watch.end(jobId);
  await elapse(600_000);
  assert.equal(looks, 3);
});
