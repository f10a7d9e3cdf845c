import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createIdleness } from "./idleness.ts";

const MINUTE = 60_000;

describe("createIdleness", () => {
  it("is due after the time without a sign of work, and never where nothing is to happen", () => {
    const idleness = createIdleness(0);
    const sleep = { action: "sleep", afterMs: 10 * MINUTE } as const;
    assert.equal(idleness.isDue(sleep, 10 * MINUTE - 1), false);
    assert.equal(idleness.isDue(sleep, 10 * MINUTE), true);
    assert.equal(idleness.isDue({ action: "none", afterMs: 0 }, 100 * MINUTE), false);
    idleness.touch(9 * MINUTE);
    assert.equal(idleness.isDue(sleep, 18 * MINUTE), false);
    assert.equal(idleness.idleMs(18 * MINUTE), 9 * MINUTE);
  });

  it("takes more than a twentieth of a processor over a minute for work", () => {
    const idleness = createIdleness(0);
    let userMs = 500;
    for (let now = 0; now <= 5 * MINUTE; now += MINUTE / 3) {
      idleness.cpu(userMs, now);
      userMs += 990; // in 20 s
    }
    assert.equal(idleness.idleMs(5 * MINUTE), 5 * MINUTE);
    for (let now = 5 * MINUTE + MINUTE / 3; now <= 10 * MINUTE; now += MINUTE / 3) {
      idleness.cpu(userMs, now);
      userMs += 1_100;
    }
    assert.equal(idleness.idleMs(10 * MINUTE), 0);
  });

  it("does not take a short burst for a minute's work, and looks at a minute however seldom it is told", () => {
    const idleness = createIdleness(0);
    idleness.cpu(0, 0);
    idleness.cpu(2_000, 1_000);
    assert.equal(idleness.idleMs(1_000), 1_000);
    idleness.cpu(2_000, 90_000);
    assert.equal(idleness.idleMs(90_000), 90_000);
    idleness.cpu(2_000 + 0.06 * 5 * MINUTE, 90_000 + 5 * MINUTE);
    assert.equal(idleness.idleMs(90_000 + 5 * MINUTE), 0);
  });

  it("begins anew after a wake: the guest's count may be any", () => {
    const idleness = createIdleness(0);
    idleness.cpu(50, 0);
    idleness.restart(MINUTE);
    idleness.cpu(1_000_000, 2 * MINUTE);
    assert.equal(idleness.idleMs(2 * MINUTE), MINUTE);
  });
});
