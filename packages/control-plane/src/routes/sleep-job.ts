import { ROUTES } from "@mags/api-schema";
import { afterWork, findSandboxJob } from "../app/find-sandbox-job.ts";
import { type BoundRoute, bind } from "../http/route.ts";
import type { RouteDeps } from "./deps.ts";
import { findJob } from "./find-job.ts";
import { statusToWire } from "./job-wire.ts";

export function sleepJobRoute(deps: RouteDeps): BoundRoute {
  const { store, node, reports } = deps;
  return bind(ROUTES.sleepJob, async ({ params, account }) => {
    const found = await findJob(store, account.id, params.id);
    const { job, sandboxId } = await findSandboxJob(store, found, params.id);
    const after = await afterWork(store, job, async () => {
      await node.sleepSandbox(sandboxId, { reason: "requested" });
      await reports.settled(sandboxId);
    });
    return statusToWire(after, deps);
  });
}
