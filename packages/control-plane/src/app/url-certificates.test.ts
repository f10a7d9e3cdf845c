import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, it } from "node:test";
import { Secret, silentLogger, systemClock } from "@mags/core";
import type { AccountId } from "@mags/domain";
import { waitFor } from "@mags/test-kit";
import { createSealing, SEALING_KEY_BYTES } from "./sealing.ts";
import type { UrlCertificateStore } from "./url-certificate-store.ts";
import { type CertificateAuthority, isDue, isWithinLimits, startUrlCertificates } from "./url-certificates.ts";

const ACCOUNT = "a" as AccountId;
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

  it("is not asked for more often than authorities let one, though aliases come and go", () => {
    const now = at(10);
    const tries = (count: number, host: string, daysAgo: number, issued: boolean) =>
      Array.from({ length: count }, () => ({ host, at: at(10 - daysAgo), issued }));
    assert.ok(isWithinLimits("a", [...tries(3, "a", 0, false), ...tries(40, "b", 0, false)], now));
    assert.ok(!isWithinLimits("a", tries(4, "a", 0, false), now));
    assert.ok(isWithinLimits("a", tries(4, "a", 1, false), now));
    assert.ok(!isWithinLimits("a", tries(4, "a", 6, true), now));
    assert.ok(isWithinLimits("a.x", tries(44, "b.x", 6, true), now));
    assert.ok(!isWithinLimits("a.x", tries(45, "b.x", 6, true), now));
    assert.ok(isWithinLimits("a.x", tries(45, "b.x", 8, true), now));
    assert.ok(isWithinLimits("a.x", tries(45, "b.y", 6, true), now), "others' domains take nothing away");
    assert.ok(!isWithinLimits("a.x", tries(90, "b.y", 0, false), now));
  });
});

describe("startUrlCertificates", () => {
  it("ends though an authority does not answer, and publishes nothing from then on", async () => {
    const asked = Promise.withResolvers<Parameters<CertificateAuthority["obtain"]>[1]>();
    const authority: CertificateAuthority = {
      obtain: (_host, publish) => {
        asked.resolve(publish);
        return new Promise(() => {});
      },
    };
    const running = startUrlCertificates(
      { store: emptyStore("shop.example"), authority, sealing: newSealing(), clock: systemClock, log: silentLogger },
      { but: null },
    );
    const publish = await asked.promise;
    await running[Symbol.asyncDispose]();
    await assert.rejects(publish({ token: "t", answer: "a" }), { name: "AbortError" });
  });

  it("asks for those of others, and of who comes later, while hosts of one account are slow to check", async () => {
    const other = "b" as AccountId;
    const hosts = [
      ...Array.from({ length: 6 }, (_, n) => ({ host: `slow${n}.example`, accountId: ACCOUNT })),
      { host: "shop.example", accountId: other },
    ];
    const asked: string[] = [];
    const failed = new Set<string>();
    const store: UrlCertificateStore = {
      ...emptyStore(""),
      aliasHosts: async () => [...hosts],
      all: async () =>
        [...failed].map((host) => ({ host, issued: null, triedAt: new Date(), failures: 1, problem: "no" })),
      putFailure: async (host) => void failed.add(host),
    };
    const slow = Promise.withResolvers<never>();
    const authority: CertificateAuthority = {
      obtain(host) {
        asked.push(host);
        return host.startsWith("slow") ? slow.promise : Promise.reject(new Error("no"));
      },
    };
    await using running = startUrlCertificates(
      { store, authority, sealing: newSealing(), clock: systemClock, log: silentLogger },
      { but: null },
    );
    const untilAsked = (count: number) => waitFor(() => asked.length === count, { what: `${count} to be asked for` });
    await untilAsked(3);
    assert.deepEqual(asked, ["slow0.example", "slow1.example", "shop.example"]);
    hosts.push({ host: "late.example", accountId: other });
    running.nudge();
    await untilAsked(4);
    assert.equal(asked[3], "late.example");
    slow.reject(new Error("no answer"));
    await untilAsked(8);
    assert.deepEqual(asked.toSorted(), hosts.map(({ host }) => host).toSorted());
  });

  it("asks anew for one whose key does not open, and gives nobody the old one", async () => {
    const sealedKey = newSealing().seal(new Secret("key"), "url_certificates/shop.example"); // by a key that is lost
    const held = {
      ...stored,
      issued: { ...issued, at: new Date(), expiresAt: new Date(Date.now() + 90 * DAY_MS), sealedKey },
    };
    const asked = Promise.withResolvers<string>();
    const store = { ...emptyStore("shop.example"), all: async () => [held], get: async () => held };
    const authority: CertificateAuthority = {
      obtain: (host) => {
        asked.resolve(host);
        return new Promise(() => {});
      },
    };
    await using running = startUrlCertificates(
      { store, authority, sealing: newSealing(), clock: systemClock, log: silentLogger },
      { but: null },
    );
    assert.equal(await asked.promise, "shop.example");
    assert.equal(await running.find("shop.example"), null);
  });
});

const newSealing = () => createSealing({ bytes: randomBytes(SEALING_KEY_BYTES), file: "sealing.key" });

/** Of one alias, of which nothing is known. */
function emptyStore(host: string): UrlCertificateStore {
  return {
    aliasHosts: async () => [{ host, accountId: ACCOUNT }],
    standings: async () => [],
    all: async () => [],
    get: async () => null,
    putTry: async () => {},
    triesSince: async () => [],
    putIssued: () => assert.fail("nothing was issued"),
    putFailure: () => assert.fail("nothing has failed"),
    remove: async () => {},
    removeUnused: async () => {},
    putChallenge: () => assert.fail("nothing is published"),
    challenge: async () => null,
    removeChallenges: async () => {},
  };
}
