import { ROUTES } from "@mags/api-schema";
import type { JobFilter } from "../app/job-store.ts";
import { type BoundRoute, bind } from "../http/route.ts";
import type { RouteDeps } from "./deps.ts";
import { jobToWire } from "./job-wire.ts";

export function listJobsRoute(deps: RouteDeps): BoundRoute {
  return bind(ROUTES.listJobs, async ({ query, account }) => {
    const { page, page_size } = query;
    const found = await deps.store.list(account.id, filterOf(query), {
      limit: page_size,
      offset: (page - 1) * page_size,
    });
    return { jobs: found.jobs.map((job) => jobToWire(job, deps)), total: found.total, page, page_size };
  });
}

function filterOf(
  query: { readonly [K in "status" | "name" | "workspace_id" | "label"]?: string | undefined },
): JobFilter {
  const { status, name, workspace_id: workspaceId, label } = query;
  const equals = label?.indexOf("=") ?? -1;
  return {
    ...(status !== undefined && { status: status as JobFilter["status"] & string }),
    ...(name !== undefined && { name }),
    ...(workspaceId !== undefined && { workspaceId }),
    ...(label !== undefined && { label: { key: label.slice(0, equals), value: label.slice(equals + 1) } }),
  };
}
