/** Where the hosts of URLs lead: see `UrlDirectory` of the domain. */
import { AppError } from "@mags/core";
import type { UrlRoute, UrlVisit } from "@mags/domain";
import { nameOf, type UrlNames } from "./url-names.ts";
import type { UrlStore, UrlTarget } from "./url-store.ts";

/** Of a sandbox whose port nobody has said. */
export const USUAL_PORT = 8080;

export interface UrlDirectoryDeps {
  readonly store: Pick<UrlStore, "bySubdomain" | "byAlias">;
  readonly names: UrlNames;
  readonly clock: { now(): Date };
}

/** @throws as `UrlDirectory.route` */
export async function routeOf({ host }: UrlVisit, { store, names, clock }: UrlDirectoryDeps): Promise<UrlRoute> {
  const name = nameOf(host);
  const nowhere = () =>
    new AppError("url_not_found", `nothing here is called ${host}: there is no such sandbox, or it has ended`);
  if (!name) throw nowhere();
  const own = name.domain === names.domain ? await store.bySubdomain(name.label) : null;
  if (own) return toRoute(own, clock.now());
  const alias = await store.byAlias({ domain: name.domain, subdomain: name.label });
  if (!alias) throw nowhere();
  if (!alias.target)
    throw new AppError(
      "job_not_running",
      `no sandbox of the workspace ${alias.workspaceId} runs: its owner has to start one`,
    );
  return toRoute(alias.target, clock.now());
}

function toRoute({ sandboxId, accountId, jobId, port, awakeSince }: UrlTarget, now: Date): UrlRoute {
  return {
    ...{ accountId, jobId, guest: sandboxId, port: port ?? USUAL_PORT },
    awakeMs: awakeSince && Math.max(0, now.getTime() - awakeSince.getTime()),
  };
}
