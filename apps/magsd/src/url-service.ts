import type { UrlServiceConfig } from "@mags/control-plane";
import type { CertifiedGateway } from "./gateway/certified-gateway.ts";
import { publicPlaceOf, type UrlConfig } from "./url-config.ts";

type Gateway = Pick<CertifiedGateway, "urls" | "certificatesEnd">;

/** What the control plane has to know of URLs. @param gateway  Null: not yet. */
export function urlServiceOf(urls: UrlConfig, gateway: () => Gateway | null): UrlServiceConfig | null {
  if (!urls.enabled) return null;
  return {
    ...{ domain: urls.domain, synonyms: urls.synonyms },
    acme: urls.acme && {
      ...{ directoryUrl: urls.acme.directory_url, email: urls.acme.email },
      onlyOwnDomains: urls.tls !== null,
    },
    ownDomains: {
      ...{ allowed: urls.own_domains.allowed, dns: urls.own_domains.dns },
      dnsServers: urls.own_domains.dns_servers,
    },
    public: () => publicPlaceOf(urls, gateway()?.urls?.port ?? urls.listen.port),
    ownCertificatesEnd: () => gateway()?.certificatesEnd ?? null,
  };
}
