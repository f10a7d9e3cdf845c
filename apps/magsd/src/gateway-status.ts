/** What the status says of a gateway, and of the certificates that it shows. */
import type { CertificateSummary } from "@mags/control-plane";
import type { CertifiedGateway } from "./gateway/certified-gateway.ts";
import type { AcmeStatus, SshStatus, UrlStatus } from "./status.ts";
import { publicPlaceOf, type UrlConfig } from "./url-config.ts";

type Gateway = Pick<CertifiedGateway, "ssh" | "urls" | "problem" | "certificateProblem" | "certificatesEnd">;

/** @param host  That clients are told. @param away  Why it cannot do its work although it runs. */
export function sshStatusOf(
  { ssh, problem }: Gateway,
  { host, away = null }: { readonly host: string; readonly away?: string | null },
): SshStatus | null {
  return ssh && { host, ...ssh, problem: problem ?? away };
}

/** @param domain  Null: the one of the server. */
export function urlStatusOf(
  { urls, problem, certificateProblem, certificatesEnd }: Gateway,
  {
    config,
    domain,
    acme = null,
    away = null,
  }: {
    readonly config: UrlConfig;
    readonly domain: string | null;
    readonly acme?: CertificateSummary | null;
    readonly away?: string | null;
  },
): UrlStatus | null {
  if (!urls) return null;
  const { port, plainPort } = urls;
  const at = publicPlaceOf(config, port);
  return {
    ...{ port, plain_port: plainPort, scheme: at.scheme, domain, public_port: at.port },
    ...{ problem: problem ?? away, certificate_problem: certificateProblem },
    ...{ certificates_end: certificatesEnd?.toISOString() ?? null, acme: acme && acmeStatusOf(acme) },
  };
}

function acmeStatusOf({ names, firstEnd, newestFailure, ending, firstEnding }: CertificateSummary): AcmeStatus {
  const { valid, expired, missing } = names;
  const failing = valid.failing + expired.failing + missing.failing;
  return {
    ...{ valid: valid.all, expired: expired.all, missing: missing.all, failing, ending },
    first_end: firstEnd && { host: firstEnd.host, at: firstEnd.at.toISOString() },
    newest_failure: newestFailure && { ...newestFailure, at: newestFailure.at.toISOString() },
    first_ending: firstEnding && {
      ...{ host: firstEnding.host, at: firstEnding.expiresAt.toISOString(), problem: firstEnding.problem },
    },
  };
}
