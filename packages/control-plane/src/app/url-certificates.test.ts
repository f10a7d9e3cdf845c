import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { describe, it } from "node:test";
import { promisify } from "node:util";
import { AppError, Secret, silentLogger, systemClock } from "@mags/core";
import type { AccountId } from "@mags/domain";
import { waitFor } from "@mags/test-kit";
import { createSealing, SEALING_KEY_BYTES } from "./sealing.ts";
import type { CertificateTry, StoredCertificate, UrlCertificateStore } from "./url-certificate-store.ts";
import { type CertificateAuthority, startUrlCertificates } from "./url-certificates.ts";

const ACCOUNT = "a" as AccountId;
const DAY_MS = 86_400_000;

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
    assert.deepEqual(asked, ["slow0.example", "shop.example", "slow1.example"]);
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
    const issued = { certificate: "", sealedKey, at: new Date(), expiresAt: new Date(Date.now() + 90 * DAY_MS) };
    const held = { host: "shop.example", issued, triedAt: new Date(), failures: 0, problem: null };
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

  it("reads once a look what was tried before, though the hour's tries are used up and many are due", async () => {
    const hosts = Array.from({ length: 50 }, (_, n) => ({ host: `n${n}.example`, accountId: ACCOUNT }));
    const used = hosts.flatMap((alias): CertificateTry[] => Array(2).fill({ ...alias, at: new Date(), issued: false }));
    let reads = 0;
    /** At the begin of each look. */
    const readsBefore: number[] = [];
    const store: UrlCertificateStore = {
      ...emptyStore(""),
      async aliasHosts() {
        readsBefore.push(reads);
        return hosts;
      },
      async triesSince() {
        reads++;
        return used;
      },
    };
    const authority: CertificateAuthority = { obtain: () => assert.fail("it is not to be asked") };
    await using running = startUrlCertificates(
      { store, authority, sealing: newSealing(), clock: systemClock, log: silentLogger },
      { but: null },
    );
    for (const looks of [2, 3]) {
      running.nudge();
      await waitFor(() => readsBefore.length === looks, { what: "the next look" });
    }
    assert.deepEqual(readsBefore, [0, 1, 2]);
  });

  it("keeps what is given while the database is away, as issued and not as refused", async () => {
    const req = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "90", "-subj", "/CN=shop.example"];
    const { stdout: certificate } = await promisify(execFile)("openssl", [...req, "-keyout", "/dev/null"]);
    const tried: Date[] = [];
    const kept: StoredCertificate[] = [];
    let isAway = true;
    const store: UrlCertificateStore = {
      ...emptyStore("shop.example"),
      all: async () => kept,
      putTry: async ({ at }) => void tried.push(at),
      async putIssued(host, issued) {
        if (isAway) {
          isAway = false;
          throw away;
        }
        kept.push({ host, issued, triedAt: issued.at, failures: 0, problem: null });
      },
    };
    const authority: CertificateAuthority = {
      obtain: async () => ({ certificate, key: new Secret("key") }),
    };
    await using running = startUrlCertificates(
      { store, authority, sealing: newSealing(), clock: systemClock, log: silentLogger },
      { but: null },
    );
    await waitFor(() => kept.length > 0, { what: "it to be kept" });
    assert.deepEqual([kept[0]?.issued?.at], tried);
    assert.deepEqual(running.tries, { issued: 1, refused: 0 });
  });

  it("counts nothing as refused where the answer for the authority cannot be published", async () => {
    const failed: StoredCertificate[] = [];
    const store: UrlCertificateStore = {
      ...emptyStore("shop.example"),
      all: async () => failed,
      putChallenge: () => Promise.reject(away),
      putFailure: async (host, { at, problem }) =>
        void failed.push({ host, issued: null, triedAt: at, failures: 1, problem }),
    };
    const authority: CertificateAuthority = {
      async obtain(_host, publish) {
        await publish({ token: "t", answer: "a" });
        return assert.fail("it is not published");
      },
    };
    await using running = startUrlCertificates(
      { store, authority, sealing: newSealing(), clock: systemClock, log: silentLogger },
      { but: null },
    );
    await waitFor(() => failed.length > 0, { what: "the failure" });
    assert.equal(failed[0]?.problem, away.message);
    assert.deepEqual(running.tries, { issued: 0, refused: 0 });
  });
});

const away = new AppError("unavailable", "the database does not answer now");

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
