/**
 * Certificates for the hosts of aliases, from a certificate authority that checks over HTTP whose a host is. Owns when one
 * is asked for: for a new alias soon, again when two thirds of its life are over, and after a failure later each time.
 */
import { X509Certificate } from "node:crypto";
import { type Clock, type Logger, messageOf, type Secret, sleep, untilAborted } from "@mags/core";
import type { UrlCertificate } from "@mags/domain";
import { type CertificateWish, isDue, planTries, weekBefore } from "./certificate-plan.ts";
import { type CertificateSummary, summaryOf } from "./certificate-summary.ts";
import { persistently } from "./persistently.ts";
import type { Sealing } from "./sealing.ts";
import type { StoredCertificate, UrlCertificateStore } from "./url-certificate-store.ts";
import type { AliasName } from "./url-store.ts";
import { createWake } from "./wake.ts";

export interface CertificateAuthority {
  /**
   * @param publish  Called before the host is checked: that is what has to be answered there.
   * @throws why there is none
   */
  obtain(
    host: string,
    publish: (challenge: { readonly token: string; readonly answer: string }) => Promise<void>,
  ): Promise<UrlCertificate>;
}

/** Until when the last one holds, null: there is none yet; and why the last try failed. */
export interface CertificateState {
  readonly expiresAt: Date | null;
  readonly problem: string | null;
}

export interface UrlCertificates extends AsyncDisposable {
  find(host: string): Promise<UrlCertificate | null>;
  challenge(asked: { readonly host: string; readonly token: string }): Promise<string | null>;
  /** How an alias stands; null: no certificate is asked for it. */
  of(alias: AliasName): Promise<CertificateState | null>;
  summary(): Promise<CertificateSummary>;
  /** How often the authority has answered since the start, or has not in time. */
  readonly tries: Readonly<Record<"issued" | "refused", number>>;
  /** There is another alias. */
  nudge(): void;
}

export interface UrlCertificatesDeps {
  readonly store: UrlCertificateStore;
  readonly authority: CertificateAuthority;
  readonly sealing: Sealing;
  readonly clock: Clock;
  readonly log: Logger;
}

type Answer =
  | Pick<NonNullable<StoredCertificate["issued"]>, "certificate" | "sealedKey" | "expiresAt">
  | { readonly problem: string };

const LOOK_MS = 60_000;

/** @param options.but  A domain whose names get none; null: all do. */
export function startUrlCertificates(
  deps: UrlCertificatesDeps,
  { but }: { readonly but: string | null },
): UrlCertificates {
  const { store, authority, sealing, clock, log } = deps;
  const closing = new AbortController();
  const { signal } = closing;
  const wake = createWake();
  const tries = { issued: 0, refused: 0 };
  /** By host. */
  const underWay = new Map<string, CertificateWish & { readonly ended: Promise<void> }>();

  function keyOf({ host, issued }: StoredCertificate): Secret | null {
    if (!issued) return null;
    const opened = sealing.open(issued.sealedKey, rowOf(host));
    if ("secret" in opened) return opened.secret;
    log.warn("url.certificate_not_opened", { host, reason: opened.refused });
    return null;
  }

  /** Null: the server ends. */
  async function ask(host: string): Promise<Answer | null> {
    let unpublished = false;
    const publish = async (challenge: { readonly token: string; readonly answer: string }) => {
      signal.throwIfAborted();
      unpublished = true;
      await store.putChallenge({ host, ...challenge });
      unpublished = false;
    };
    try {
      const { certificate, key } = await untilAborted(authority.obtain(host, publish), signal);
      const expiresAt = new Date(new X509Certificate(certificate).validTo);
      tries.issued++;
      log.info("url.certificate_issued", { host, until: expiresAt.toISOString() });
      return { certificate, sealedKey: sealing.seal(key, rowOf(host)), expiresAt };
    } catch (error) {
      if (signal.aborted) return null;
      const problem = messageOf(error);
      if (!unpublished) tries.refused++;
      log.warn(unpublished ? "url.challenge_not_published" : "url.certificate_refused", { host, error: problem });
      return { problem };
    }
  }

  /** What is given is kept though the database is away for long: authorities give so many a week. */
  async function obtain(host: string, at: Date): Promise<void> {
    const answer = await ask(host);
    if (!answer) return;
    const put = () =>
      "problem" in answer ? store.putFailure(host, { at, ...answer }) : store.putIssued(host, { at, ...answer });
    await persistently(put, { signal });
  }

  function begin(wish: CertificateWish, at: Date): void {
    const { host } = wish;
    const ended = obtain(host, at)
      .catch((error: unknown) => log.warn("url.certificate_not_stored", { host, error: messageOf(error) }))
      .finally(() => {
        underWay.delete(host);
        wake.call();
      });
    underWay.set(host, { ...wish, ended });
  }

  async function look(): Promise<void> {
    // What ends meanwhile is looked at again.
    const asked = new Set(underWay.keys());
    const wanted = await store.aliasHosts({ but });
    const hosts = new Set(wanted.map(({ host }) => host));
    const known = new Map((await store.all()).map((stored) => [stored.host, stored]));
    await store.remove([...known.keys()].filter((host) => !hosts.has(host)));
    await store.removeChallenges({ but: [...asked] });
    const now = clock.now();
    // One whose key does not open is of no use.
    const useful = (stored: StoredCertificate | undefined) =>
      stored?.issued && !keyOf(stored) ? { ...stored, issued: null } : stored;
    const due = wanted
      .filter(({ host }) => !asked.has(host) && isDue(useful(known.get(host)), now))
      .map((alias) => ({ ...alias, isRenewal: known.get(alias.host)?.issued != null }));
    if (due.length === 0) return;
    const tries = await store.triesSince(weekBefore(now));
    for (const wish of planTries({ due, underWay: [...underWay.values()], tries, now })) {
      if (signal.aborted) return;
      await store.putTry({ ...wish, at: now }, { since: weekBefore(now) });
      begin(wish, now);
    }
  }

  async function run(): Promise<void> {
    while (!signal.aborted) {
      await look().catch((error: unknown) => log.warn("url.certificates_not_looked_at", { error: messageOf(error) }));
      const rest = new AbortController();
      const either = { signal: AbortSignal.any([signal, rest.signal]) };
      await Promise.race([wake.wait(either), sleep(LOOK_MS, either)]).catch(() => {});
      rest.abort();
    }
    await Promise.all([...underWay.values()].map(({ ended }) => ended));
  }

  const running = run();
  return {
    async find(host) {
      const stored = await store.get(host);
      const key = stored && keyOf(stored);
      return stored?.issued && key ? { certificate: stored.issued.certificate, key } : null;
    },
    challenge: store.challenge,
    async of({ subdomain, domain }) {
      if (domain === but) return null;
      const stored = await store.get(`${subdomain}.${domain}`);
      return { expiresAt: stored?.issued?.expiresAt ?? null, problem: stored?.problem ?? null };
    },
    summary: async () => summaryOf(await store.standings({ but }), clock.now()),
    tries,
    nudge: wake.call,
    async [Symbol.asyncDispose]() {
      closing.abort();
      await running;
    },
  };
}

const rowOf = (host: string) => `url_certificates/${host}`;
