import { ROUTES } from "@mags/api-schema";
import { afterWork, findSandboxJob, ownerOf } from "../app/find-sandbox-job.ts";
import type { Job } from "../app/job.ts";
import { updateJob } from "../app/update-job.ts";
import { type BoundRoute, bind } from "../http/route.ts";
import type { RouteDeps } from "./deps.ts";
import { findJob } from "./find-job.ts";
import { statusToWire } from "./job-wire.ts";
import { needUrls } from "./need-urls.ts";

export function updateJobRoute(deps: RouteDeps): BoundRoute {
  return bind(ROUTES.updateJob, async ({ params, body, account, clientAddress, signal }) => {
    const { store } = deps;
    const job = await ownerOf(store, await findJob(store, account.id, params.id), params.id);
    const asked = {
      labels: body.labels ?? null,
      noSleep: body.no_sleep ?? null,
      idleMinutes: body.idle_minutes ?? null,
      startupCommand: body.startup_command ?? null,
      diskGiB: body.disk_gb ?? null,
    };
    if (body.url_private !== undefined)
      await setUrlPrivate(deps, job, { isPrivate: body.url_private, key: params.id, clientAddress });
    const work = () => updateJob(deps, job, asked, { signal });
    const { labels, ...ofVm } = asked;
    const onlyLabels = Object.values(ofVm).every((value) => value === null);
    if (onlyLabels) await work();
    const updated = onlyLabels ? ((await store.get(job.id)) ?? job) : await afterWork(store, job, work);
    return { success: true as const, message: "Mags job updated", ...statusToWire(updated, deps) };
  });
}

interface PrivacyAsked {
  readonly isPrivate: boolean;
  readonly key: string;
  readonly clientAddress: string;
}

async function setUrlPrivate(
  { store, urls }: RouteDeps,
  job: Job,
  { isPrivate, key, clientAddress }: PrivacyAsked,
): Promise<void> {
  const owner = await findSandboxJob(store, job, key, { need: "only persistent jobs have URLs" });
  await needUrls(urls).setAccess(owner, { port: null, isPrivate }, { clientAddress });
}
