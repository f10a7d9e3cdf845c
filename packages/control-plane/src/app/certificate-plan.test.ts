import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { AccountId } from "@mags/domain";
import { type CertificateWish, isDue, limitsOf, planTries } from "./certificate-plan.ts";
import type { CertificateTry, StoredCertificate } from "./url-certificate-store.ts";

const A = "a" as AccountId;
const B = "b" as AccountId;
const C = "c" as AccountId;
const DAY_MS = 86_400_000;
const at = (days: number) => new Date(days * DAY_MS);
const now = at(10);
const minutesAgo = (minutes: number) => new Date(now.getTime() - minutes * 60_000);

describe("a certificate", () => {
  const issued = { certificate: "", sealedKey: Buffer.alloc(0), at: at(0), expiresAt: at(90) };
  const stored = { host: "shop.example", issued, triedAt: at(0), failures: 0, problem: null };

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

  it("is not asked for more often than authorities let one, though aliases come and go", () => {
    const tries = (count: number, host: string, daysAgo: number, issued: boolean) =>
      Array.from({ length: count }, () => ({ host, accountId: null, at: at(10 - daysAgo), issued }));
    const isWithinLimits = (host: string, made: ReturnType<typeof tries>) =>
      limitsOf(made, now)({ host, accountId: A });
    assert.ok(isWithinLimits("a", [...tries(3, "a", 0, false), ...tries(40, "b", 0, false)]));
    assert.ok(!isWithinLimits("a", tries(4, "a", 0, false)));
    assert.ok(isWithinLimits("a", tries(4, "a", 1, false)));
    assert.ok(!isWithinLimits("a", tries(4, "a", 6, true)));
    assert.ok(isWithinLimits("a.x", tries(44, "b.x", 6, true)));
    assert.ok(!isWithinLimits("a.x", tries(45, "b.x", 6, true)));
    assert.ok(isWithinLimits("a.x", tries(45, "b.x", 8, true)));
    assert.ok(isWithinLimits("a.x", tries(45, "b.y", 6, true)), "others' domains take nothing away");
    assert.ok(!isWithinLimits("a.x", tries(90, "b.y", 0, false)));
  });
});

describe("planTries", () => {
  const names = (accountId: AccountId, count: number, isRenewal = false): CertificateWish[] =>
    Array.from({ length: count }, (_, n) => ({ host: `${accountId}${n}.x`, accountId, isRenewal }));
  const asked = (accountId: AccountId, count: number, minutes: number) =>
    names(accountId, count).map(({ host }) => ({ host, accountId, at: minutesAgo(minutes), issued: false }));
  const nothing = { underWay: [], tries: [], now };
  const plan = (input: Partial<Parameters<typeof planTries>[0]> & Pick<Parameters<typeof planTries>[0], "due">) =>
    planTries({ ...nothing, ...input }).map(({ host }) => host);

  it("takes accounts in turn, two names of one at once, and keeps a place for a renewal", () => {
    const due = [...names(A, 5), ...names(B, 5)];
    assert.deepEqual(plan({ due }), ["a0.x", "b0.x", "a1.x"]);
    assert.deepEqual(plan({ due: names(A, 5) }), ["a0.x", "a1.x"]);
    assert.deepEqual(plan({ due, underWay: [...names(A, 2), ...names(C, 1)] }), []);
    assert.deepEqual(plan({ due: [...due, ...names(C, 1, true)], underWay: [...names(A, 2), ...names(B, 1)] }), [
      "c0.x",
    ]);
  });

  it("takes renewals first, and for all places where there are as many", () => {
    const due = [...names(A, 2), ...names(B, 3, true), ...names(C, 3, true)];
    assert.deepEqual(plan({ due }), ["b0.x", "c0.x", "b1.x", "c1.x"]);
    assert.deepEqual(plan({ due, underWay: [...names(B, 2, true), ...names(C, 2, true)] }), []);
  });

  it("gives a place that is free to the account that was served longest ago", () => {
    const due = [...names(A, 200).slice(30), ...names(B, 9).slice(5), ...names(C, 1)];
    const tries = [...asked(A, 1, 5), ...asked(B, 5, 10)];
    assert.deepEqual(plan({ due, tries, underWay: [] }), ["c0.x", "b5.x", "a30.x"]);
    assert.deepEqual(plan({ due, tries, underWay: names(C, 2) }), ["b5.x"]);
  });

  it("gives it first to the account that has fewest under way", () => {
    const tries = [...asked(A, 1, 3), ...asked(B, 1, 1)];
    const due = [...names(A, 2).slice(1), ...names(B, 2).slice(1)];
    assert.deepEqual(plan({ due, tries, underWay: names(A, 1) }), ["b1.x", "a1.x"]);
  });

  it("takes a new name before those of the same account that fail again and again", () => {
    assert.deepEqual(plan({ due: names(A, 6), tries: asked(A, 5, 120) }), ["a5.x", "a0.x"]);
  });

  it("lets one account have a third of the tries of an hour, whether its aliases are still there or not", () => {
    const due = [...names(A, 200).slice(30), ...names(B, 1)];
    assert.deepEqual(plan({ due, tries: asked(A, 30, 59) }), ["b0.x"]);
    assert.deepEqual(plan({ due, tries: asked(A, 30, 60) }), ["b0.x", "a30.x", "a31.x"]);
    assert.deepEqual(plan({ due, tries: asked(A, 29, 59) }), ["b0.x", "a30.x"], "what it plans counts, too");
  });

  for (const [what, lasts] of [
    ["take a minute to fail", 1],
    ["fail at once", 0],
  ] as const)
    it(`has who comes later asked for within a minute while another's 200 names ${what}`, () => {
      const aliases = names(A, 200);
      const failures = new Map<string, StoredCertificate>();
      const tries: CertificateTry[] = [];
      let underWay: readonly CertificateWish[] = [];
      function fail(at: Date) {
        for (const { host } of underWay) {
          const before = failures.get(host)?.failures ?? 0;
          failures.set(host, { host, issued: null, triedAt: at, failures: before + 1, problem: "no" });
        }
        underWay = [];
      }
      function begin(at: Date) {
        const due = aliases.filter(({ host }) => isDue(failures.get(host), at));
        underWay = planTries({ due, underWay, tries, now: at });
        for (const { host, accountId } of underWay) tries.push({ host, accountId, at, issued: false });
      }
      for (let minute = 0; minute <= 121; minute++) {
        if (minute === 120) aliases.push(...names(B, 1));
        fail(minutesAgo(-minute));
        begin(minutesAgo(-minute));
        while (lasts === 0 && underWay.length > 0) {
          fail(minutesAgo(-minute));
          begin(minutesAgo(-minute));
        }
      }
      assert.ok(new Set(tries.map(({ host }) => host)).size > 60, "the first account's are asked for");
      assert.ok(tries.some(({ accountId }) => accountId === B));
    });
});
