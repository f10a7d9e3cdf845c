import { ROUTES, type urls as wire } from "@mags/api-schema";
import { AppError } from "@mags/core";
import { type AccountId, isTerminal, type SandboxId } from "@mags/domain";
import { ownerOf } from "../app/find-sandbox-job.ts";
import type { Job } from "../app/job.ts";
import type { UrlLink } from "../app/url-store.ts";
import { type BoundRoute, bind } from "../http/route.ts";
import type { RouteDeps } from "./deps.ts";
import { findJob } from "./find-job.ts";
import { needUrls } from "./need-urls.ts";

export function createUrlLinkRoute(deps: RouteDeps): BoundRoute {
  return bind(ROUTES.createUrlLink, async ({ params, body, account, clientAddress }) => {
    const urls = needUrls(deps.urls);
    const { job, sandbox } = await sandboxOf(deps, account.id, params.id);
    if (isTerminal(job.status))
      throw new AppError("job_not_running", `job ${job.name} is not running: it has ended, and its URL with it`);
    const { urlPort, subdomain } = sandbox;
    if (urlPort === null)
      throw new AppError("url_not_enabled", `job ${job.name} has no URL yet: ask for one first, as with mags url`);
    const place = { sandboxId: sandbox.id, port: body.port ?? urlPort };
    const { token, ...link } = await urls.links.make(place, { expiresInMs: body.expires_in_seconds * 1000 });
    const data = { link: link.id, port: link.port, until: link.expiresAt.toISOString() };
    deps.audit.note({ action: "url_link_made", accountId: account.id, target: job.name, clientAddress, data });
    return { ...toWire(link), url: `${urls.urlOf(subdomain)}/?mags-access=${token}`, token };
  });
}

export function listUrlLinksRoute(deps: RouteDeps): BoundRoute {
  return bind(ROUTES.listUrlLinks, async ({ params, account }) => {
    const { sandbox } = await sandboxOf(deps, account.id, params.id);
    const links = (await deps.urlStore.links(sandbox.id, { now: deps.clock.now() })).map(toWire);
    return { links, total: links.length };
  });
}

export function revokeUrlLinkRoute(deps: RouteDeps): BoundRoute {
  return bind(ROUTES.revokeUrlLink, async ({ params, account, clientAddress }) => {
    const { job, sandbox } = await sandboxOf(deps, account.id, params.id);
    const link = params.link_id;
    await needUrls(deps.urls).revokeLink(sandbox.id, link);
    const asked = { accountId: account.id, target: job.name, clientAddress, data: { link } };
    deps.audit.note({ action: "url_link_revoked", ...asked });
    return { success: true as const, message: "The link was revoked" };
  });
}

interface Found {
  readonly job: Job;
  readonly sandbox: NonNullable<Job["sandbox"]> & { readonly id: SandboxId };
}

/** Also of a job that has ended. */
async function sandboxOf({ store }: Pick<RouteDeps, "store">, accountId: AccountId, key: string): Promise<Found> {
  const job = await ownerOf(store, await findJob(store, accountId, key), key);
  const { sandbox } = job;
  if (!sandbox?.owns)
    throw new AppError("validation_failed", `job ${job.name} has no VM that stays: only persistent jobs have URLs`);
  return { job, sandbox };
}

function toWire({ id, port, createdAt, expiresAt, revokedAt }: UrlLink): wire.UrlLinkWire {
  return {
    ...{ id, port, created_at: createdAt.toISOString(), expires_at: expiresAt.toISOString() },
    revoked_at: revokedAt?.toISOString() ?? null,
  };
}
