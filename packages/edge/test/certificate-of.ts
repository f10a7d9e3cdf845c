/** A certificate that is its own authority. */
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import type { CertificateFiles } from "../src/url/certificates.ts";

const run = promisify(execFile);

export async function certificateOf(folder: string, name: string): Promise<CertificateFiles> {
  const [key, certificate] = [join(folder, `${name}.key`), join(folder, `${name}.pem`)];
  const args = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
  await run("openssl", [
    ...args,
    "-subj",
    `/CN=${name}`,
    "-addext",
    `subjectAltName=DNS:${name}`,
    "-keyout",
    key,
    "-out",
    certificate,
  ]);
  return { certificate: await readFile(certificate, "utf8"), key: await readFile(key, "utf8") };
}
