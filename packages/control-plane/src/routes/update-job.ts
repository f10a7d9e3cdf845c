import { ROUTES } from "@mags/api-schema";
import { afterWork, ownerOf } from "../app/find-sandbox-job.ts";
import { updateJob } from "../app/update-job.ts";
import { type BoundRoute, bind } from "../http/route.ts";
import type { RouteDeps } from "./deps.ts";
import { findJob } from "./find-job.ts";
import { statusToWire } from "./job-wire.ts";

export function updateJobRoute(deps: RouteDeps): BoundRoute {
  return bind(ROUTES.updateJob, async ({ params, body, account, signal }) => {
    const { store } = deps;
    const job = await ownerOf(store, await findJob(store, account.id, params.id), params.id);
    const asked = {
      labels: body.labels ?? null,
      noSleep: body.no_sleep ?? null,
      idleMinutes: body.idle_minutes ?? null,
      startupCommand: body.startup_command ?? null,
      diskGiB: body.disk_gb ?? null,
    };
    const work = () => updateJob(deps, job, asked, { signal });
    const { labels, ...ofVm } = asked;
    const onlyLabels = Object.values(ofVm).every((value) => value === null);
    if (onlyLabels) await work();
    const updated = onlyLabels ? ((await store.get(job.id)) ?? job) : await afterWork(store, job, work);
    return { success: true as const, message: "Mags job updated", ...statusToWire(updated, deps.node) };
  });
}
