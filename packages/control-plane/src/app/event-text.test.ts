import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { SleepReason, SyncReason, WakeReason } from "@mags/domain";
import { eventText } from "./event-text.ts";

// The compiler says when one is missing.
const SLEEPS: Record<SleepReason, true> = { idle: true, requested: true, sync: true };
const WAKES: Record<WakeReason, true> = {
  ...{ exec: true, files: true, connection: true, script: true, requested: true, no_sleep: true, sync: true },
};
const SYNCS: Record<SyncReason, true> = {
  ...{ interval: true, stop: true, sleep: true, request: true, promotion: true, fork: true },
  ...{ restore: true, compaction: true },
};

const text = (name: string, data: Readonly<Record<string, unknown>>) =>
  eventText({ id: 1, at: new Date(0), name, data });

describe("eventText", () => {
  for (const [name, reasons] of Object.entries({ slept: SLEEPS, woke: WAKES, synced: SYNCS }))
    it(`says every reason of ${name} in words`, () => {
      for (const reason of Object.keys(reasons)) {
        const told = text(name, { reason, kind: "warm", version: 3 });
        assert.match(told, /^[^:]+: \w+ \w+/);
        assert.ok(!told.endsWith(`: ${reason}`), told);
      }
    });

  it("passes a reason on that is for people", () => {
    assert.equal(text("slept", { reason: "the host ends" }), "VM went to sleep: the host ends");
  });

  it("says why all of a disk was compared", () => {
    assert.match(
      text("sync_compared", { reason: "QEMU was killed" }),
      /all of the disk was compared.*: QEMU was killed$/,
    );
  });
});
