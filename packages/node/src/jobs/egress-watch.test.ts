import assert from "node:assert/strict";
import { it } from "node:test";
import { silentLogger, systemClock } from "@mags/core";
import { type JobUpdate, newJobId } from "@mags/domain";
import { waitFor } from "@mags/test-kit";
import { createEgressWatch } from "./egress-watch.ts";

it("a job's denials are looked at again after a look that failed, and once more at its end", async () => {
  const reported: unknown[] = [];
  let looks = 0;
  let count = 1;
  await using watch = createEgressWatch(
    {
      async denials(index) {
        looks++;
        if (looks === 1) throw new Error("no answer");
        return [{ destination: `10.0.0.${index}:80/tcp`, count }];
      },
      report: (update: JobUpdate) => void reported.push(update.type === "note" && [update.name, update.data]),
      clock: systemClock,
      log: silentLogger,
    },
    { firstLookMs: 2 },
  );
  const jobId = newJobId();
  watch.begin(jobId, 7);
  await waitFor(() => reported.length > 0, { what: "the first event" });
  assert.deepEqual(reported, [["egress_denied", { destination: "10.0.0.7:80/tcp", count: 1 }]]);
  count = 2;
  await watch.end(jobId);
  assert.deepEqual(reported[1], ["egress_denied", { destination: "10.0.0.7:80/tcp", count: 2 }]);
  const looked = looks;
  await watch.end(jobId);
  assert.equal(looks, looked);
});

it("looks at one microVM of a job, the newest, and at none when it was disposed of", async () => {
  const looked: number[] = [];
  const watch = createEgressWatch(
    {
      denials: async (index) => {
        looked.push(index);
        return [];
      },
      ...{ report: () => {}, clock: systemClock, log: silentLogger },
    },
    { firstLookMs: 1 },
  );
  const jobId = newJobId();
  watch.begin(jobId, 1);
  watch.begin(jobId, 2);
  await waitFor(() => looked.filter((index) => index === 2).length > 3, { what: "looks" });
  assert.ok(!looked.includes(1));
  await watch[Symbol.asyncDispose]();
  watch.begin(jobId, 3);
  const other = newJobId();
  await using after = createEgressWatch(
    {
      denials: async (index) => {
        looked.push(index);
        return [];
      },
      ...{ report: () => {}, clock: systemClock, log: silentLogger },
    },
    { firstLookMs: 5 },
  );
  after.begin(other, 4);
  await waitFor(() => looked.includes(4), { what: "a look that is later" });
  assert.ok(!looked.includes(3));
});
