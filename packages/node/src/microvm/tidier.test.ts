import assert from "node:assert/strict";
import { describe, it, mock } from "node:test";
import { silentLogger, systemClock } from "@mags/core";
import { createTidier } from "./tidier.ts";

const settle = () => new Promise((resolve) => setImmediate(resolve));
const open = () => createTidier({ clock: systemClock, log: silentLogger }, { jobsWaiting: () => false });

describe("a tidier", () => {
  it("tries what failed again after pauses that grow, and does the rest meanwhile", async () => {
    mock.timers.enable({ apis: ["setTimeout"] });
    try {
      await using tidier = open();
      let failures = 3;
      let tries = 0;
      tidier.addUntilDone(async () => {
        tries++;
        if (failures-- > 0) throw new Error("busy");
      });
      let others = 0;
      tidier.add(async () => void others++);
      await settle();
      assert.deepEqual([tries, others], [1, 1]);
      for (const [pauseMs, n] of [
        [1_000, 2],
        [2_000, 3],
        [4_000, 4],
      ] as const) {
        mock.timers.tick(pauseMs - 1);
        await settle();
        assert.equal(tries, n - 1);
        mock.timers.tick(1);
        await settle();
        assert.equal(tries, n);
      }
      mock.timers.tick(1_000_000);
      await settle();
      assert.equal(tries, 4);
    } finally {
      mock.timers.reset();
    }
  });

  it("tries what failed a last time when it is disposed of, and what may be lost not again", async () => {
    const tidier = open();
    let lasting = 0;
    let passing = 0;
    const fail = async () => {
      throw new Error("busy");
    };
    tidier.addUntilDone(() => {
      lasting++;
      return fail();
    });
    tidier.add(() => {
      passing++;
      return fail();
    });
    await settle();
    await tidier[Symbol.asyncDispose]();
    assert.deepEqual([lasting, passing], [2, 1]);
  });
});
