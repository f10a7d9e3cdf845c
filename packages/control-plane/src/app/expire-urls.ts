/** Removes what nobody needs any more of links, access logs, counters and certificates, whether there are URLs or not. */
import type { Clock } from "@mags/core";
import { MOST_USAGE_DAYS } from "@mags/domain";
import { weekBefore } from "./certificate-plan.ts";
import type { UrlCertificateStore } from "./url-certificate-store.ts";
import type { UrlStore } from "./url-store.ts";
import type { UrlTrafficStore } from "./url-traffic-store.ts";

export interface ExpireUrlsDeps {
  readonly urlStore: Pick<UrlStore, "removeExpiredLinks">;
  readonly urlTraffic: Pick<UrlTrafficStore, "removeEntries" | "removeCounts" | "forgetBatches">;
  readonly urlCertificates: Pick<UrlCertificateStore, "removeUnused">;
  readonly urlLogKeepDays: number;
  readonly clock: Pick<Clock, "now">;
}

const DAY_MS = 86_400_000;
/** Of a statement, so that none takes long. */
const MOST_REMOVED = 5_000;
/** Of the access log of a sandbox. */
const MOST_ACCESSES = 10_000;
/** One more than any usage that is being summed up looks back. */
const COUNTS_KEEP_DAYS = MOST_USAGE_DAYS + 1;

/** @throws the first failure, when all else is done */
export async function expireUrls(
  { urlStore, urlTraffic, urlCertificates, urlLogKeepDays, clock }: ExpireUrlsDeps,
  { signal }: { readonly signal: AbortSignal },
): Promise<void> {
  const now = clock.now();
  const daysAgo = (days: number) => new Date(now.getTime() - days * DAY_MS);
  const kept = { before: daysAgo(urlLogKeepDays), newest: MOST_ACCESSES };
  const counts = { before: daysAgo(COUNTS_KEEP_DAYS), most: MOST_REMOVED };
  const steps = [
    () => urlStore.removeExpiredLinks(now),
    () => urlCertificates.removeUnused({ triedBefore: weekBefore(now) }),
    () => urlTraffic.forgetBatches(daysAgo(1)),
    async () => {
      while (!signal.aborted && (await urlTraffic.removeEntries({ ...kept, most: MOST_REMOVED })) > 0);
    },
    async () => {
      while (!signal.aborted && (await urlTraffic.removeCounts(counts)) > 0);
    },
  ];
  const failures: unknown[] = [];
  for (const step of steps) if (!signal.aborted) await step().catch((error: unknown) => failures.push(error));
  if (failures.length > 0) throw failures[0];
}
