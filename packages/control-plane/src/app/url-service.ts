/** URLs of sandboxes, as far as the control plane has to do with them: names, who may see what, and what was asked for. */
import { AppError, type Clock, type Logger } from "@mags/core";
import type { AccountId, SandboxId, UrlRegister } from "@mags/domain";
import type { AuditLog } from "./audit-log.ts";
import type { OwnerJob } from "./find-sandbox-job.ts";
import type { Sealing } from "./sealing.ts";
import { createUrlAliases, type UrlAliases } from "./url-aliases.ts";
import type { CertificateState, UrlCertificates } from "./url-certificates.ts";
import { areOf, routeOf } from "./url-directory.ts";
import { checkOwnName, type OwnDomains, type UrlDomainsDeps } from "./url-domains.ts";
import { createUrlLinks, type UrlLinks } from "./url-links.ts";
import { type UrlName, type UrlNames, urlOf } from "./url-names.ts";
import type { AliasName, UrlStore } from "./url-store.ts";
import { createUrlTraffic, type UrlTotals } from "./url-traffic.ts";
import type { UrlTrafficStore } from "./url-traffic-store.ts";

export interface UrlServiceConfig extends UrlNames {
  /** Who gives certificates for aliases. Null: nobody does. */
  readonly acme: {
    readonly directoryUrl: string;
    /** Where it writes to. */
    readonly email: string | undefined;
    /** Names in the installation's own domain have certificates already. */
    readonly onlyOwnDomains: boolean;
  } | null;
  readonly ownDomains: OwnDomains & {
    /** That are asked about them: numeric, with ports where they are not 53. Undefined: those of this machine. */
    readonly dnsServers: readonly string[] | undefined;
  };
  /** When the first of the operator's own certificates ends, as far as they are this machine's; null: there are none. */
  readonly ownCertificatesEnd: () => Date | null;
}

export interface UrlServiceDeps {
  readonly store: UrlStore;
  readonly traffic: UrlTrafficStore;
  readonly audit: Pick<AuditLog, "note">;
  readonly sealing: Pick<Sealing, "keyFor">;
  readonly lookUp: UrlDomainsDeps["lookUp"];
  /** Null: there are none but the operator's. */
  readonly certificates: UrlCertificates | null;
  /** That of the API; null: not known. */
  readonly apiHost: string | null;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface UrlAccessAsked {
  /** Null: as it is. */
  readonly port: number | null;
  readonly isPrivate: boolean | null;
}

export interface UrlService {
  readonly directory: UrlRegister;
  readonly aliases: UrlAliases;
  readonly links: UrlLinks;
  readonly totals: UrlTotals;
  /** Of a sandbox, by the name that it was given. */
  urlOf(subdomain: string): string;
  aliasUrl(alias: AliasName): string;
  /** How an alias stands with whoever gives certificates; null: nobody does, or not for it. */
  certificateOf(alias: AliasName): Promise<CertificateState | null>;
  /** Of all aliases, and how often it was asked for them; null: none are asked for. */
  readonly certificates: Pick<UrlCertificates, "summary" | "tries"> | null;
  readonly ownCertificatesEnd: () => Date | null;
  /** Has the URLs of a sandbox lead to a port, or be private. @throws AppError `job_not_running` when it has ended */
  setAccess(
    owner: OwnerJob,
    asked: UrlAccessAsked,
    client: { readonly clientAddress: string },
  ): Promise<{ readonly port: number | null; readonly isPrivate: boolean }>;
  /** @throws AppError `url_not_found` */
  revokeLink(sandboxId: SandboxId, id: string): Promise<void>;
  close(options: { readonly deadlineMs: number }): Promise<void>;
}

export function createUrlService(deps: UrlServiceDeps, config: UrlServiceConfig): UrlService {
  const { store, audit, clock, lookUp, apiHost, certificates } = deps;
  const reserved = () => [config.domain, ...config.synonyms, ...(apiHost === null ? [] : [apiHost])];
  const checkOwn = (accountId: AccountId, name: UrlName) =>
    checkOwnName(accountId, name, { lookUp, reserved, ...config.ownDomains });
  const links = createUrlLinks(deps);
  const aliases = createUrlAliases({ ...deps, names: config, checkOwn });
  const traffic = createUrlTraffic({ ...deps, store: deps.traffic });
  return {
    directory: {
      route: (visit) => routeOf(visit, { store, links, names: config, clock, note: traffic.note }),
      areOf: (hosts) => areOf(hosts, { store, names: config }),
      certificate: async (host) => certificates?.find(host) ?? null,
      challenge: async (asked) => certificates?.challenge(asked) ?? null,
      note: traffic.note,
    },
    aliases: {
      ...aliases,
      async create(asked) {
        const made = await aliases.create(asked);
        certificates?.nudge();
        return made;
      },
    },
    certificateOf: async (alias) => certificates?.of(alias) ?? null,
    ...{ certificates, ownCertificatesEnd: config.ownCertificatesEnd },
    links,
    totals: traffic.totals,
    urlOf: (subdomain) => urlOf({ label: subdomain, domain: config.domain }, config),
    aliasUrl: ({ subdomain, domain }) => urlOf({ label: subdomain, domain }, config),
    async setAccess({ job, sandboxId }, asked, { clientAddress }) {
      const set = await store.setAccess(sandboxId, asked);
      if (!set) throw new AppError("job_not_running", `job ${job.name} is not running: it has ended meanwhile`);
      const { accountId, name: target } = job;
      const data = { port: set.port, private: set.isPrivate };
      audit.note({ action: "url_access_changed", accountId, target, clientAddress, data });
      return set;
    },
    async revokeLink(sandboxId, id) {
      if (await store.revokeLink(sandboxId, id, clock.now())) return;
      throw new AppError("url_not_found", `there is no link ${JSON.stringify(id)} of that job`);
    },
    close: traffic.close,
  };
}
