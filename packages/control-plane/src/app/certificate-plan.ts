/**
 * Decides for which names an authority is asked for a certificate: those whose time it is, as often as authorities let
 * one, and accounts in turn, so that names which fail or take long hold up those of no other account.
 */
import type { AliasHost, CertificateTry, StoredCertificate } from "./url-certificate-store.ts";

/** A name whose time it is, or that is being asked for. */
export interface CertificateWish extends AliasHost {
  /** It has had one. */
  readonly isRenewal: boolean;
}

export interface CertificatePlanInput {
  /** Those whose time it is and that are not under way, oldest first. */
  readonly due: readonly CertificateWish[];
  readonly underWay: readonly CertificateWish[];
  /** Of the last week at least. */
  readonly tries: readonly CertificateTry[];
  readonly now: Date;
}

/** Authorities let a host fail five times an hour. */
const FIRST_PAUSE_MS = 15 * 60_000;
const MOST_PAUSE_MS = 24 * 60 * 60_000;
/** And give 50 of one domain in a week, five of them for one host, and who asks them so many orders in an hour. */
const MOST_OF_A_DOMAIN_IN_A_WEEK = 45;
const MOST_OF_A_HOST_IN_A_WEEK = 4;
const MOST_TRIES_IN_AN_HOUR = 4;
const MOST_TRIES_OF_ALL_IN_AN_HOUR = 90;
const MOST_TRIES_OF_AN_ACCOUNT_IN_AN_HOUR = 30;
const MOST_AT_ONCE = 4;
/** A host that an authority cannot reach takes its time, and a place from no other account. */
const MOST_OF_AN_ACCOUNT_AT_ONCE = 2;
/** One place is kept for those that have one to lose. */
const MOST_NEW_AT_ONCE = MOST_AT_ONCE - 1;
const HOUR_MS = 3_600_000;
const WEEK_MS = 7 * 24 * HOUR_MS;

/** Those to ask for now, in their order. Touches nothing: same input, same plan. */
export function planTries({ due, underWay, tries, now }: CertificatePlanInput): readonly CertificateWish[] {
  const planned: CertificateWish[] = [];
  for (;;) {
    const next = nextTry({
      due: due.filter((wish) => !planned.includes(wish)),
      underWay: [...underWay, ...planned],
      tries: [...tries, ...planned.map(({ host, accountId }) => ({ host, accountId, at: now, issued: false }))],
      now,
    });
    if (!next) return planned;
    planned.push(next);
  }
}

/** Renewals come first, then whose account has fewest under way, then who has waited longest, accounts before names. */
function nextTry({ due, underWay, tries, now }: CertificatePlanInput): CertificateWish | undefined {
  if (underWay.length >= MOST_AT_ONCE) return undefined;
  const mayBeNew = underWay.filter(({ isRenewal }) => !isRenewal).length < MOST_NEW_AT_ONCE;
  const underWayOf = countBy(underWay, ({ accountId }) => accountId);
  const accountAskedMs = newestBy(tries, ({ accountId }) => accountId);
  const hostAskedMs = newestBy(tries, ({ host }) => host);
  const isWithinLimits = limitsOf(tries, now);
  return due
    .filter(
      (wish) =>
        (wish.isRenewal || mayBeNew) && underWayOf(wish.accountId) < MOST_OF_AN_ACCOUNT_AT_ONCE && isWithinLimits(wish),
    )
    .toSorted(
      (a, b) =>
        Number(b.isRenewal) - Number(a.isRenewal) ||
        underWayOf(a.accountId) - underWayOf(b.accountId) ||
        accountAskedMs(a.accountId) - accountAskedMs(b.accountId) ||
        hostAskedMs(a.host) - hostAskedMs(b.host),
    )[0];
}

/** Tells whether the authority may be asked for one more, whatever has become of the aliases of those tries. */
export function limitsOf(tries: readonly CertificateTry[], now: Date): (alias: AliasHost) => boolean {
  const late = tries.filter(({ at }) => at.getTime() > now.getTime() - HOUR_MS);
  if (late.length >= MOST_TRIES_OF_ALL_IN_AN_HOUR) return () => false;
  const issued = tries.filter((one) => one.issued && one.at > weekBefore(now));
  const lateOf = countBy(late, ({ host }) => host);
  const lateOfAccount = countBy(late, ({ accountId }) => accountId);
  const issuedOf = countBy(issued, ({ host }) => host);
  const issuedOfDomain = countBy(issued, ({ host }) => domainOf(host));
  return ({ host, accountId }) =>
    lateOf(host) < MOST_TRIES_IN_AN_HOUR &&
    lateOfAccount(accountId) < MOST_TRIES_OF_AN_ACCOUNT_IN_AN_HOUR &&
    issuedOf(host) < MOST_OF_A_HOST_IN_A_WEEK &&
    issuedOfDomain(domainOf(host)) < MOST_OF_A_DOMAIN_IN_A_WEEK;
}

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

export const weekBefore = (now: Date) => new Date(now.getTime() - WEEK_MS);

const domainOf = (host: string) => host.slice(host.indexOf(".") + 1);

function countBy<T, Key>(all: readonly T[], keyOf: (one: T) => Key): (key: Key) => number {
  const counts = new Map<Key, number>();
  for (const one of all) counts.set(keyOf(one), (counts.get(keyOf(one)) ?? 0) + 1);
  return (key) => counts.get(key) ?? 0;
}

/** 0: there is none. */
function newestBy<Key>(tries: readonly CertificateTry[], keyOf: (one: CertificateTry) => Key): (key: Key) => number {
  const newest = new Map<Key, number>();
  for (const one of tries) newest.set(keyOf(one), Math.max(newest.get(keyOf(one)) ?? 0, one.at.getTime()));
  return (key) => newest.get(key) ?? 0;
}
