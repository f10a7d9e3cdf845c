/** A gateway that shows the operator's certificates, also after their files have changed. */
import type { Logger } from "@mags/core";
import { readCertificates, watchCertificates } from "../url-certificates.ts";
import type { UrlConfig } from "../url-config.ts";
import type { KeptGateway } from "./keep-gateway.ts";
import type { UrlTask } from "./messages.ts";

export interface CertifiedGateway extends Omit<KeptGateway, "certify"> {
  /** Why it shows certificates that are not those of the files; null: it does not. */
  readonly certificateProblem: string | null;
  /** When the first of the operator's certificates that it shows ends; null: it has none. */
  readonly certificatesEnd: Date | null;
}

/**
 * @param open  What is to be served is null where that is off.
 * @throws what it throws, and AppError `validation_failed` when a certificate cannot be used
 */
export async function openCertified(
  { log, open }: { readonly log: Logger; readonly open: (urls: UrlTask | null) => Promise<KeptGateway> },
  config: UrlConfig,
  options: { readonly lookMs?: number } = {},
): Promise<CertifiedGateway> {
  const { tls } = config;
  const known = config.enabled ? await readCertificates(tls) : [];
  const gateway = await open(config.enabled ? { config, certificates: known } : null);
  const watch = watchCertificates(
    config.enabled ? tls : null,
    { log, onChange: gateway.certify },
    { ...options, known },
  );
  return {
    ...{ ssh: gateway.ssh, urls: gateway.urls },
    get problem() {
      return gateway.problem;
    },
    get certificateProblem() {
      return watch.problem;
    },
    get certificatesEnd() {
      return watch.end;
    },
    async [Symbol.asyncDispose]() {
      watch[Symbol.dispose]();
      await gateway[Symbol.asyncDispose]();
    },
  };
}
