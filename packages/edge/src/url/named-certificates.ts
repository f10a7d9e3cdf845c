/** Certificates that the directory has, by the names of hosts. Kept for a while: not each connection asks it. */
import type { SecureContext } from "node:tls";
import { type Logger, messageOf } from "@mags/core";
import type { UrlDirectory } from "@mags/domain";
import { contextOf } from "./certificates.ts";

export interface NamedCertificates {
  /** Null: there is none, or it cannot be had now. */
  find(host: string): Promise<SecureContext | null>;
}

interface Kept {
  readonly context: Promise<SecureContext | null>;
  /** Infinity while it is asked for. */
  untilMs: number;
}

export interface NamedCertificatesDeps {
  readonly directory: Pick<UrlDirectory, "certificate">;
  readonly clock: { nowMs(): number };
  readonly log: Logger;
}

/** One that was renewed is shown after that time, at the latest. */
const KEPT_MS = 300_000;
/** One that was just made is shown soon. */
const NONE_KEPT_MS = 5_000;
const MOST_KEPT = 2_000;
/** Strangers say what names they like: the directory is not asked about more at a time. */
const MOST_ASKED = 64;
const PATIENCE_MS = 5_000;
const HOST = /^(?=.{1,253}$)[a-z0-9_](?:[a-z0-9_-]{0,62})(?:\.[a-z0-9_-]{1,63})+$/;

export function createNamedCertificates({ directory, clock, log }: NamedCertificatesDeps): NamedCertificates {
  const all = new Map<string, Kept>();
  let asked = 0;

  async function ask(host: string): Promise<SecureContext | null> {
    try {
      const found = await directory.certificate(host, { signal: AbortSignal.timeout(PATIENCE_MS) });
      return found && contextOf({ certificate: found.certificate, key: found.key.reveal() });
    } catch (error) {
      log.warn("url.no_certificate", { host, error: messageOf(error) });
      return null;
    }
  }

  return {
    async find(host) {
      const known = all.get(host);
      if (known && known.untilMs > clock.nowMs()) return known.context;
      if (!HOST.test(host)) return null;
      if (asked >= MOST_ASKED) return known?.context ?? null;
      all.delete(host);
      const [oldest] = all.keys();
      if (all.size >= MOST_KEPT && oldest !== undefined) all.delete(oldest);
      asked++;
      const kept: Kept = { context: ask(host), untilMs: Number.POSITIVE_INFINITY };
      all.set(host, kept);
      const context = await kept.context;
      asked--;
      kept.untilMs = clock.nowMs() + (context ? KEPT_MS : NONE_KEPT_MS);
      return context;
    },
  };
}
