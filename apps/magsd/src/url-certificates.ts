/**
 * The operator's certificates, from the files that the configuration names. Read here and not in the gateway, which has
 * the rights of nobody; a pair that changes is read anew.
 */
import { X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { AppError, type Logger, messageOf } from "@mags/core";
import { type CertificateFiles, createCertificates } from "@mags/edge";
import type { UrlConfig } from "./url-config.ts";

type Tls = UrlConfig["tls"];

export interface CertificateWatch extends Disposable {
  /** Why those that were read before are still used; null: they are those of the files. */
  readonly problem: string | null;
  /** When the first of those that are used ends; null: there are none. */
  readonly end: Date | null;
}

const LOOK_MS = 5_000;

/** @throws AppError `validation_failed` that names the keys of the configuration when one cannot be used */
export async function readCertificates(tls: Tls): Promise<readonly CertificateFiles[]> {
  return Promise.all((tls?.certificates ?? []).map(readPair));
}

async function readPair(
  { certificate_file, key_file }: NonNullable<Tls>["certificates"][number],
  index: number,
): Promise<CertificateFiles> {
  const at = `urls.tls.certificates[${index}]`;
  const read = async (file: string, key: string) => {
    try {
      return await readFile(file, "utf8");
    } catch (cause) {
      throw new AppError("validation_failed", `${at}.${key} cannot be read: ${messageOf(cause)}`, { cause });
    }
  };
  const certificate = await read(certificate_file, "certificate_file");
  const key = await read(key_file, "key_file");
  try {
    createCertificates([{ certificate, key }]);
  } catch (cause) {
    const message = `${at}: ${certificate_file} and ${key_file} do not belong together, or are no PEM: ${messageOf(cause)}`;
    throw new AppError("validation_failed", message, { cause });
  }
  return { certificate, key };
}

/** @param known  Those that are used. @param onChange  Called with each that can be used, after it has changed. */
export function watchCertificates(
  tls: Tls,
  deps: { readonly log: Logger; readonly onChange: (now: readonly CertificateFiles[]) => void },
  { known, lookMs = LOOK_MS }: { readonly known: readonly CertificateFiles[]; readonly lookMs?: number },
): CertificateWatch {
  let used = known;
  let problem: string | null = null;
  let timer: NodeJS.Timeout | undefined;
  let isOver = false;

  async function look(): Promise<void> {
    const before = problem;
    try {
      const now = await readCertificates(tls);
      problem = null;
      if (isOver || JSON.stringify(now) === JSON.stringify(used)) return;
      used = now;
      deps.log.info("urls.certificates_changed", { until: now.map((one) => endOf(one).toISOString()) });
      deps.onChange(now);
    } catch (error) {
      problem = `certificates that were read before are used: ${messageOf(error)}`;
      // A pair that is being written is whole at the next look.
      if (problem !== before) deps.log.warn("urls.certificates_unusable", { error: messageOf(error) });
    }
  }
  const lookLater = () => {
    timer = setTimeout(() => void look().then(() => isOver || lookLater()), lookMs).unref();
  };
  if (tls) lookLater();
  return {
    get problem() {
      return problem;
    },
    get end() {
      return used.map(endOf).toSorted((a, b) => a.getTime() - b.getTime())[0] ?? null;
    },
    [Symbol.dispose]() {
      isOver = true;
      clearTimeout(timer);
    },
  };
}

/** When it ends to be valid. */
export const endOf = ({ certificate }: CertificateFiles): Date => new Date(new X509Certificate(certificate).validTo);
