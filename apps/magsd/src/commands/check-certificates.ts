/** What `magsd doctor` says of the certificates for URLs: those of files, and those that an authority gives. */
import { X509Certificate } from "node:crypto";
import { messageOf } from "@mags/core";
import type { CertificateFiles } from "@mags/edge";
import type { ServerConfig } from "../config.ts";
import type { AcmeStatus } from "../status.ts";
import { endOf, readCertificates } from "../url-certificates.ts";
import { hasTls, type UrlConfig } from "../url-config.ts";
import type { Finding } from "./check-object-store.ts";

const name = "certificates";
const DAY_MS = 86_400_000;
const LEAST_DAYS = 14;
/** Such as a VM has. */
export const SOME_LABEL = "0123456789ab";

/** @param state.acme  Of a server that runs and asks for some. */
export async function checkCertificates(
  { urls, role }: Pick<ServerConfig, "urls" | "role">,
  { acme, now }: { readonly acme: AcmeStatus | null; readonly now: Date },
): Promise<Finding[]> {
  return [...(await checkFiles({ urls, role }, now)), ...(acme ? [checkAcme(acme, now)] : [])];
}

async function checkFiles({ urls, role }: Pick<ServerConfig, "urls" | "role">, now: Date): Promise<Finding[]> {
  const all = await readCertificates(urls.tls).catch(messageOf);
  if (typeof all === "string")
    return [{ name, state: "fail", found: all, cure: "mend the files; they are read anew by themselves" }];
  const ends = all.map((one, index) => checkEnd(one, { file: urls.tls?.certificates[index]?.certificate_file, now }));
  // Which domain an edge has says its server.
  return [...ends, ...(role === "edge" ? [] : checkNames(urls, all))];
}

function checkEnd(
  certificate: CertificateFiles,
  { file, now }: { readonly file: string | undefined; readonly now: Date },
): Finding {
  const days = daysBetween(now, endOf(certificate));
  const found = days < 0 ? `${file} has expired` : `${file} is valid for ${days} more days`;
  if (days >= LEAST_DAYS) return { name, state: "ok", found };
  const cure = "put a newer one in its place; it is read by itself";
  return { name, state: days < 0 ? "fail" : "warn", found, cure };
}

/** Whether clients find one for the names of sandboxes. */
function checkNames(urls: UrlConfig, all: readonly CertificateFiles[]): Finding[] {
  if (!hasTls(urls)) return [];
  const host = `${SOME_LABEL}.${urls.domain}`;
  // As clients look at it: what is in `subject` is not a name.
  const isOf = ({ certificate }: CertificateFiles) =>
    new X509Certificate(certificate).checkHost(host, { subject: "never" }) !== undefined;
  if (all.some(isOf)) return [];
  const found = `none is of *.${urls.domain}: browsers refuse the URLs of sandboxes`;
  const cure = `put one of *.${urls.domain} into urls.tls.certificates, or set urls.domain to the one that they are of`;
  return [{ name, state: "warn", found, cure }];
}

function checkAcme({ valid, expired, missing, failing, ending, first_ending }: AcmeStatus, now: Date): Finding {
  if (first_ending) {
    const { host, at, problem } = first_ending;
    const days = daysBetween(now, new Date(at));
    const end = days < 0 ? "has expired" : `is valid for ${days} more days`;
    const more = ending > 1 ? `, as are ${ending - 1} more` : "";
    const found = `that of ${host} ${end} and is not renewed${more}: ${problem}`;
    const cure = "have the name lead here again, with port 80 to urls.plain, or remove the alias";
    return { name, state: "warn", found, cure };
  }
  const refused = failing > 0 ? `; at the last try ${failing} were refused` : "";
  return { name, state: "ok", found: `${valid} of ${valid + expired + missing} aliases have one by ACME${refused}` };
}

const daysBetween = (now: Date, end: Date) => Math.floor((end.getTime() - now.getTime()) / DAY_MS);
