import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { isDue } from "./url-certificates.ts";

const DAY_MS = 86_400_000;
const at = (days: number) => new Date(days * DAY_MS);
const issued = { certificate: "", sealedKey: Buffer.alloc(0), at: at(0), expiresAt: at(90) };
const stored = { host: "shop.example", issued, triedAt: at(0), failures: 0, problem: null };

describe("a certificate", () => {
  it("is asked for when there is none, and again when two thirds of its life are over", () => {
    assert.ok(isDue(undefined, at(0)));
    assert.ok(!isDue(stored, at(59)));
    assert.ok(isDue(stored, at(60)));
  });

  it("is asked for later each time that it was refused, at least once a day", () => {
    const refused = (failures: number) => ({ ...stored, issued: null, failures, problem: "no" });
    const after = (minutes: number) => new Date(minutes * 60_000);
    assert.deepEqual([isDue(refused(1), after(14)), isDue(refused(1), after(15))], [false, true]);
    assert.deepEqual([isDue(refused(3), after(59)), isDue(refused(3), after(60))], [false, true]);
    assert.deepEqual([isDue(refused(50), after(24 * 60 - 1)), isDue(refused(50), after(24 * 60))], [false, true]);
    assert.ok(!isDue({ ...stored, failures: 1, triedAt: at(60) }, at(60)));
  });
});
