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
    const setPrivate =
      body.url_private === undefined
        ? null
        : await urlPrivacy(deps, job, { isPrivate: body.url_private, key: params.id, clientAddress });
    // Last: what is private stays so where anything else is refused.
    const work = async () => {
      await updateJob(deps, job, asked, { signal });
      await setPrivate?.();
    };
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

/** What sets it. @throws AppError where that cannot be */
async function urlPrivacy(
  { store, urls }: RouteDeps,
  job: Job,
  { isPrivate, key, clientAddress }: PrivacyAsked,
): Promise<() => Promise<unknown>> {
  const owner = await findSandboxJob(store, job, key, { need: "only persistent jobs have URLs" });
  const service = needUrls(urls);
  return () => service.setAccess(owner, { port: null, isPrivate }, { clientAddress });
}
