/**
 * Certificates for the hosts of aliases, from a certificate authority that checks over HTTP whose a host is. Owns when one
 * is asked for: for a new alias soon, again when two thirds of its life are over, and after a failure later each time.
 */
import { X509Certificate } from "node:crypto";
import { type Clock, type Logger, messageOf, type Secret, sleep, untilAborted } from "@mags/core";
import type { AccountId, UrlCertificate } from "@mags/domain";
import { type CertificateSummary, summaryOf } from "./certificate-summary.ts";
import type { Sealing } from "./sealing.ts";
import type { AliasHost, CertificateTry, StoredCertificate, UrlCertificateStore } from "./url-certificate-store.ts";
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
  /** How often the authority was asked since the start, by what came of it. */
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

/** Authorities let a host fail five times an hour. */
const FIRST_PAUSE_MS = 15 * 60_000;
const MOST_PAUSE_MS = 24 * 60 * 60_000;
/** And give 50 of one domain in a week, five of them for one host, and an account so many orders in an hour. */
const MOST_OF_A_DOMAIN_IN_A_WEEK = 45;
const MOST_OF_A_HOST_IN_A_WEEK = 4;
const MOST_TRIES_IN_AN_HOUR = 4;
const MOST_TRIES_OF_ALL_IN_AN_HOUR = 90;
const MOST_AT_ONCE = 4;
/** A host that an authority cannot reach takes its time, and a place from no other account. */
const MOST_OF_AN_ACCOUNT_AT_ONCE = 2;
const HOUR_MS = 3_600_000;
const WEEK_MS = 7 * 24 * HOUR_MS;
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
  const underWay = new Map<string, { readonly accountId: AccountId; readonly ended: Promise<void> }>();

  function keyOf({ host, issued }: StoredCertificate): Secret | null {
    if (!issued) return null;
    const opened = sealing.open(issued.sealedKey, rowOf(host));
    if ("secret" in opened) return opened.secret;
    log.warn("url.certificate_not_opened", { host, reason: opened.refused });
    return null;
  }

  async function obtain(host: string, at: Date): Promise<void> {
    try {
      const publish = async (challenge: { readonly token: string; readonly answer: string }) => {
        signal.throwIfAborted();
        await store.putChallenge({ host, ...challenge });
      };
      const { certificate, key } = await untilAborted(authority.obtain(host, publish), signal);
      const expiresAt = new Date(new X509Certificate(certificate).validTo);
      await store.putIssued(host, { certificate, sealedKey: sealing.seal(key, rowOf(host)), at, expiresAt });
      tries.issued++;
      log.info("url.certificate_issued", { host, until: expiresAt.toISOString() });
    } catch (error) {
      if (signal.aborted) return;
      tries.refused++;
      log.warn("url.certificate_refused", { host, error: messageOf(error) });
      await store.putFailure(host, { at, problem: messageOf(error) });
    }
  }

  function begin({ host, accountId }: AliasHost, at: Date): void {
    const ended = obtain(host, at)
      .catch((error: unknown) => log.warn("url.certificates_not_looked_at", { error: messageOf(error) }))
      .finally(() => {
        underWay.delete(host);
        wake.call();
      });
    underWay.set(host, { accountId, ended });
  }

  const mayBegin = (accountId: AccountId) =>
    [...underWay.values()].filter((one) => one.accountId === accountId).length < MOST_OF_AN_ACCOUNT_AT_ONCE;

  async function look(): Promise<void> {
    // What ends meanwhile is looked at again.
    const asked = new Set(underWay.keys());
    const wanted = await store.aliasHosts({ but });
    const hosts = new Set(wanted.map(({ host }) => host));
    const known = new Map((await store.all()).map((stored) => [stored.host, stored]));
    await store.remove([...known.keys()].filter((host) => !hosts.has(host)));
    await store.removeChallenges({ but: [...asked] });
    // Who has one is not to lose it for those who come.
    for (const alias of wanted.toSorted((a, b) => Number(has(known, b.host)) - Number(has(known, a.host)))) {
      if (signal.aborted || underWay.size >= MOST_AT_ONCE) return;
      const { host, accountId } = alias;
      if (asked.has(host) || !mayBegin(accountId)) continue;
      const now = clock.now();
      const stored = known.get(host);
      // One whose key does not open is of no use.
      if (!isDue(stored?.issued && !keyOf(stored) ? { ...stored, issued: null } : stored, now)) continue;
      if (!isWithinLimits(host, await store.triesSince(weekBefore(now)), now)) continue;
      await store.putTry({ host, at: now }, { since: weekBefore(now) });
      begin(alias, now);
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

const has = (known: ReadonlyMap<string, StoredCertificate>, host: string) => known.get(host)?.issued != null;

const rowOf = (host: string) => `url_certificates/${host}`;

/** Whether it is time to ask for one. */
export function isDue(stored: StoredCertificate | undefined, now: Date): boolean {
  if (!stored) return true;
  const { issued, triedAt, failures } = stored;
  const pauseMs = failures === 0 ? 0 : Math.min(MOST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (failures - 1));
  if (now.getTime() < triedAt.getTime() + pauseMs) return false;
  if (!issued) return true;
  const lifeMs = issued.expiresAt.getTime() - issued.at.getTime();
  return now.getTime() >= issued.at.getTime() + (lifeMs * 2) / 3;
}

/** Whether the authority may be asked once more, whatever has become of the host's alias meanwhile. */
export function isWithinLimits(host: string, tries: readonly CertificateTry[], now: Date): boolean {
  const issued = tries.filter((one) => one.issued && one.at > weekBefore(now));
  const late = tries.filter(({ at }) => at.getTime() > now.getTime() - HOUR_MS);
  const isOwn = (one: CertificateTry) => one.host === host;
  return (
    issued.filter((one) => domainOf(one.host) === domainOf(host)).length < MOST_OF_A_DOMAIN_IN_A_WEEK &&
    issued.filter(isOwn).length < MOST_OF_A_HOST_IN_A_WEEK &&
    late.filter(isOwn).length < MOST_TRIES_IN_AN_HOUR &&
    late.length < MOST_TRIES_OF_ALL_IN_AN_HOUR
  );
}

const domainOf = (host: string) => host.slice(host.indexOf(".") + 1);

export const weekBefore = (now: Date) => new Date(now.getTime() - WEEK_MS);
