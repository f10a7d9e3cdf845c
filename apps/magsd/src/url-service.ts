import type { UrlServiceConfig } from "@mags/control-plane";
import { publicPlaceOf, type UrlConfig } from "./url-config.ts";

/** What the control plane has to know of URLs. @param port  Where it is listened; undefined: not yet. */
export function urlServiceOf(urls: UrlConfig, port: () => number | undefined): UrlServiceConfig | null {
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
    public: () => publicPlaceOf(urls, port() ?? urls.listen.port),
  };
}
