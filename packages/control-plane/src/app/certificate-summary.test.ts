import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { summaryOf } from "./certificate-summary.ts";

const DAY_MS = 86_400_000;
const now = new Date(100 * DAY_MS);
const inDays = (days: number) => new Date(now.getTime() + days * DAY_MS);

const good = (host: string, days: number) => ({ host, expiresAt: inDays(days), failure: null });
const bad = (host: string, days: number | null, triedDaysAgo: number) => ({
  host,
  expiresAt: days === null ? null : inDays(days),
  failure: { at: inDays(-triedDaysAgo), problem: `${host} does not lead here` },
});

describe("summaryOf", () => {
  it("counts names by what they have, and those whose last try failed", () => {
    const none = { host: "new", expiresAt: null, failure: null };
    const { names } = summaryOf(
      [good("a", 40), bad("b", 20, 1), good("c", -1), bad("d", -5, 1), none, bad("e", null, 1)],
      now,
    );
    assert.deepEqual(names, {
      valid: { all: 2, failing: 1 },
      expired: { all: 2, failing: 1 },
      missing: { all: 2, failing: 1 },
    });
  });

  it("tells which ends first of those that hold, and the newest failure of all", () => {
    const { firstEnd, newestFailure } = summaryOf(
      [good("a", 40), good("gone", -1), bad("b", 30, 0.5), bad("c", null, 0.25)],
      now,
    );
    assert.deepEqual(firstEnd, { host: "b", at: inDays(30) });
    assert.deepEqual(newestFailure, { host: "c", at: inDays(-0.25), problem: "c does not lead here" });
  });

  it("tells of those that cannot be renewed and end within 14 days, or have ended", () => {
    const { ending, firstEnding } = summaryOf(
      [good("renewed in time", 5), bad("later", 14, 1), bad("soon", 13, 1), bad("ended", -2, 1), bad("new", null, 1)],
      now,
    );
    assert.equal(ending, 2);
    assert.deepEqual([firstEnding?.host, firstEnding?.expiresAt], ["ended", inDays(-2)]);
  });

  it("has nothing to tell where there are no names", () => {
    const none = { all: 0, failing: 0 };
    assert.deepEqual(summaryOf([], now), {
      ...{ names: { valid: none, expired: none, missing: none }, firstEnd: null, newestFailure: null },
      ...{ ending: 0, firstEnding: null },
    });
  });
});
