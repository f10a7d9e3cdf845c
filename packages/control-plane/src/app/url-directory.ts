/** Where the hosts of URLs lead: see `UrlDirectory` of the domain. */
import { AppError, isAppError } from "@mags/core";
import type { HostOfGuest, UrlAccess, UrlRoute, UrlVisit } from "@mags/domain";
import type { UrlLinks } from "./url-links.ts";
import { nameOf, type UrlNames } from "./url-names.ts";
import type { UrlStore, UrlTarget } from "./url-store.ts";

/** Where an alias leads to in a sandbox of which no port was asked for. */
const USUAL_PORT = 8080;

export interface UrlDirectoryDeps {
  readonly store: Pick<UrlStore, "bySubdomain" | "byAlias">;
  readonly links: Pick<UrlLinks, "check">;
  readonly names: UrlNames;
  readonly clock: { now(): Date };
  /** Of whom is refused. */
  readonly note: (access: UrlAccess) => void;
}

/** @throws as `UrlDirectory.route` */
export async function routeOf(
  { host, pass, visitor }: UrlVisit,
  { store, links, names, clock, note }: UrlDirectoryDeps,
): Promise<UrlRoute> {
  const target = await targetOf(host, { store, names });
  const { sandboxId, accountId, isPrivate, awakeSince } = target;
  const port = target.port ?? USUAL_PORT;
  if (isPrivate) {
    try {
      if (pass === null)
        throw new AppError("unauthenticated", "this page is private: open it by a link that its owner gives you");
      await links.check(pass, { sandboxId, port });
    } catch (error) {
      if (visitor && isAppError(error, "unauthenticated"))
        note({
          ...{ atMs: clock.now().getTime(), host, guest: sandboxId, ...visitor, status: error.status },
          ...{ durationMs: 0, bytesIn: 0, bytesOut: 0 },
        });
      throw error;
    }
  }
  const awakeMs = awakeSince && Math.max(0, clock.now().getTime() - awakeSince.getTime());
  return { accountId, guest: sandboxId, port, isPrivate, awakeMs };
}

/** @see UrlRegister */
export async function areOf(
  hosts: readonly HostOfGuest[],
  { store, names }: { readonly store: Pick<UrlStore, "named">; readonly names: Pick<UrlNames, "domain"> },
): Promise<readonly boolean[]> {
  const asked = hosts.flatMap(({ host, guest }, ordinal) => {
    const name = nameOf(host);
    return name ? [{ ordinal, guest, subdomain: name.label, domain: name.domain }] : [];
  });
  const named = await store.named(asked, { domain: names.domain });
  return hosts.map((_asked, ordinal) => named.has(ordinal));
}

async function targetOf(host: string, { store, names }: Pick<UrlDirectoryDeps, "store" | "names">): Promise<UrlTarget> {
  const nowhere = () =>
    new AppError("url_not_found", `nothing here is called ${host}: there is no such URL, or its sandbox has ended`);
  const name = nameOf(host);
  if (!name) throw nowhere();
  const own = name.domain === names.domain ? await store.bySubdomain(name.label) : null;
  // Nothing is on the web that nobody has asked for.
  if (own && own.port !== null) return own;
  const alias = await store.byAlias({ domain: name.domain, subdomain: name.label });
  if (!alias) throw nowhere();
  if (alias.target) return alias.target;
  throw new AppError("job_not_running", `what ${host} leads to does not run: its owner has to start it`);
}
