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
