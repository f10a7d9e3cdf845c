/** Of the certificates for URLs: those of aliases, that an authority gives, and the operator's own. */
import type { Clock } from "@mags/core";
import { Counter, Gauge, type Registry } from "prom-client";
import { CERTIFICATE_STATES } from "../app/certificate-summary.ts";
import type { UrlService } from "../app/url-service.ts";

export function registerCertificates(
  registry: Registry,
  { certificates, ownCertificatesEnd }: Pick<UrlService, "certificates" | "ownCertificatesEnd">,
  clock: Clock,
): void {
  const registers = [registry];
  const summary = async () => (await certificates?.summary().catch(() => null)) ?? null;
  const secondsUntil = (end: Date) => (end.getTime() - clock.now().getTime()) / 1000;

  new Gauge({
    name: "mags_url_certificates",
    help: "Names of aliases that certificates are asked for, by what they have and what came of the last try. Absent while the database is away.",
    labelNames: ["state", "last_try"],
    registers,
    async collect() {
      this.reset();
      const found = await summary();
      if (!found) return;
      for (const state of CERTIFICATE_STATES) {
        const { all, failing } = found.names[state];
        this.set({ state, last_try: "ok" }, all - failing);
        this.set({ state, last_try: "failed" }, failing);
      }
    },
  });
  new Gauge({
    name: "mags_url_certificates_first_end_seconds",
    help: "Time until the first certificate ends: of those of files, negative when it has; of those of aliases that hold.",
    labelNames: ["source"],
    registers,
    async collect() {
      this.reset();
      const own = ownCertificatesEnd();
      if (own) this.set({ source: "files" }, secondsUntil(own));
      const first = (await summary())?.firstEnd;
      if (first) this.set({ source: "acme" }, secondsUntil(first.at));
    },
  });
  new Counter({
    name: "mags_url_certificate_tries_total",
    help: "How often an authority was asked for a certificate, the first of a name or the next, and gave one, or refused or did not answer in time.",
    labelNames: ["result"],
    registers,
    collect() {
      this.reset();
      for (const result of ["issued", "refused"] as const) this.inc({ result }, certificates?.tries[result] ?? 0);
    },
  });
}
