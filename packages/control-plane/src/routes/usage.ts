import { ROUTES } from "@mags/api-schema";
import { type BoundRoute, bind } from "../http/route.ts";
import type { RouteDeps } from "./deps.ts";

const DAY_MS = 86_400_000;

export function usageRoute({ usage, clock }: RouteDeps): BoundRoute {
  return bind(ROUTES.usage, async ({ query, account }) => {
    const to = clock.now();
    const from = new Date(to.getTime() - query.window_days * DAY_MS);
    const summary = await usage.summary(account.id, { from, to });
    return {
      total_jobs: summary.totalJobs,
      vm_seconds: summary.vmSeconds,
      window_days: query.window_days,
      completed_jobs: summary.completedJobs,
      running_jobs: summary.runningJobs,
      failed_jobs: summary.failedJobs,
      storage_bytes: summary.storageBytes,
      url_requests: summary.urlRequests,
      url_bytes_in: summary.urlBytesIn,
      url_bytes_out: summary.urlBytesOut,
    };
  });
}
