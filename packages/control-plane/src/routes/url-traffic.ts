import { ROUTES, type urls as wire } from "@mags/api-schema";
import { AppError } from "@mags/core";
import { ownerOf } from "../app/find-sandbox-job.ts";
import { BUCKETS_MS } from "../app/url-traffic.ts";
import type { StoredAccess, TrafficSum } from "../app/url-traffic-store.ts";
import { type BoundRoute, bind } from "../http/route.ts";
import type { RouteDeps } from "./deps.ts";
import { findJob } from "./find-job.ts";

export function urlTrafficRoute({ store, urlTraffic }: RouteDeps): BoundRoute {
  return bind(ROUTES.urlTraffic, async ({ params, query, account }) => {
    const { sandbox, name } = await ownerOf(store, await findJob(store, account.id, params.id), params.id);
    if (!sandbox?.owns)
      throw new AppError("validation_failed", `job ${name} has no VM that stays: only persistent jobs have URLs`);
    const { after = null, limit } = query;
    const [entries, sums] = await Promise.all([
      urlTraffic.entries(sandbox.id, { after, limit }),
      urlTraffic.sums(sandbox.id),
    ]);
    return { counters: countersOf(sums), entries: entries.map(entryToWire) };
  });
}

function countersOf(sums: readonly TrafficSum[]): wire.UrlCountersWire {
  const total = (of: (one: TrafficSum) => number, among = sums) => among.reduce((sum, one) => sum + of(one), 0);
  const requests = (among: readonly TrafficSum[]) => total((one) => one.requests, among);
  const classes = [...new Set(sums.map(({ statusClass }) => statusClass))];
  const most = [...BUCKETS_MS, null];
  return {
    requests: requests(sums),
    bytes_in: total((one) => one.bytesIn),
    bytes_out: total((one) => one.bytesOut),
    by_status: Object.fromEntries(
      classes.map((digit) => [`${digit}xx`, requests(sums.filter(({ statusClass }) => statusClass === digit))]),
    ),
    duration_ms_sum: total((one) => one.durationMs),
    duration_ms_buckets: most.map((le, at) => ({ le, requests: requests(sums.filter(({ bucket }) => bucket === at)) })),
  };
}

function entryToWire({ id, at, ...access }: StoredAccess): wire.UrlAccessWire {
  return {
    ...{ id, at: at.toISOString(), host: access.host, client_address: access.clientAddress, method: access.method },
    ...{ path: access.path, status: access.status, duration_ms: access.durationMs },
    ...{ bytes_in: access.bytesIn, bytes_out: access.bytesOut },
  };
}
