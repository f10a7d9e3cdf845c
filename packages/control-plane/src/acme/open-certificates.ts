import type { Clock, Logger } from "@mags/core";
import { loadAcmeAccountKey } from "../app/acme-account.ts";
import type { Sealing } from "../app/sealing.ts";
import type { SshAccessStore } from "../app/ssh-access-store.ts";
import type { UrlCertificateStore } from "../app/url-certificate-store.ts";
import { startUrlCertificates, type UrlCertificates } from "../app/url-certificates.ts";
import type { UrlServiceConfig } from "../app/url-service.ts";
import { createAcmeAuthority, newAcmeAccountKey } from "./authority.ts";

export interface OpenCertificatesDeps {
  readonly store: UrlCertificateStore;
  readonly secrets: Pick<SshAccessStore, "secret" | "replaceSecret">;
  readonly sealing: Sealing;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Nobody gives certificates for names that are each machine's own. */
const isLocal = (domain: string) => domain === "localhost" || domain.endsWith(".localhost");

/** As the configuration says. Null: there are to be none. */
export async function openCertificates(
  { secrets, ...deps }: OpenCertificatesDeps,
  { acme, domain }: Pick<UrlServiceConfig, "acme" | "domain">,
): Promise<UrlCertificates | null> {
  if (!acme) return null;
  const accountKey = await loadAcmeAccountKey({ ...deps, store: secrets, newKey: newAcmeAccountKey });
  const but = acme.onlyOwnDomains || isLocal(domain) ? domain : null;
  return startUrlCertificates({ ...deps, authority: createAcmeAuthority(acme, accountKey) }, { but });
}
