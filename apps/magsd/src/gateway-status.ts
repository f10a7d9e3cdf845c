/** What the status says of a gateway. */
import type { CertifiedGateway } from "./gateway/certified-gateway.ts";
import type { SshStatus, UrlStatus } from "./status.ts";
import { publicPlaceOf, type UrlConfig } from "./url-config.ts";

type Gateway = Pick<CertifiedGateway, "ssh" | "urls" | "problem" | "certificateProblem">;

/** @param host  That clients are told. @param away  Why it cannot do its work although it runs. */
export function sshStatusOf(
  { ssh, problem }: Gateway,
  { host, away = null }: { readonly host: string; readonly away?: string | null },
): SshStatus | null {
  return ssh && { host, ...ssh, problem: problem ?? away };
}

/** @param domain  Null: the one of the server. */
export function urlStatusOf(
  { urls, problem, certificateProblem }: Gateway,
  {
    config,
    domain,
    away = null,
  }: { readonly config: UrlConfig; readonly domain: string | null; readonly away?: string | null },
): UrlStatus | null {
  if (!urls) return null;
  const { port, plainPort } = urls;
  const at = publicPlaceOf(config, port);
  return {
    ...{ port, plain_port: plainPort, scheme: at.scheme, domain, public_port: at.port },
    ...{ problem: problem ?? away, certificate_problem: certificateProblem },
  };
}
