/** Which of the keys on this machine are registered with the account. */
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { codeOf } from "../../sdk/network-error.ts";
import { Failure } from "../failure.ts";

/** What ssh itself tries, in its order. */
const FIRST = ["id_rsa.pub", "id_ecdsa.pub", "id_ed25519.pub"];

/**
 * @param folder        `~/.ssh`.
 * @param fingerprints  Of the account's keys.
 * @returns the file to name as `IdentityFile`: a private key; where only the agent has that, the public one. Null: none
 * of them is here.
 */
export function findOwnKey(folder: string, fingerprints: ReadonlySet<string>): string | null {
  if (!existsSync(folder)) return null;
  const files = readdirSync(folder).filter((name) => name.endsWith(".pub"));
  files.sort((a, b) => FIRST.indexOf(b) - FIRST.indexOf(a) || (a < b ? -1 : 1));
  for (const name of files) {
    const publicFile = join(folder, name);
    const fingerprint = fingerprintOf(readFileSync(publicFile, "utf8"));
    if (fingerprint === null || !fingerprints.has(fingerprint)) continue;
    const privateFile = publicFile.slice(0, -".pub".length);
    return existsSync(privateFile) ? privateFile : publicFile;
  }
  return null;
}

/**
 * @param path  A private key, or a public one whose private key an agent has.
 * @returns its fingerprint; null: only the private key is here, which is not opened for that.
 * @throws Failure when there is no such file, or it is no key.
 */
export function readKeyFile(path: string): string | null {
  const text = read(path);
  if (!/^-----BEGIN ([A-Z0-9]+ )*PRIVATE KEY-----\r?$/m.test(text)) {
    const fingerprint = fingerprintOf(text);
    if (fingerprint === null) throw new Failure(`${path} is no SSH key`, "Make one with: ssh-keygen -t ed25519");
    return fingerprint;
  }
  const publicFile = `${path}.pub`;
  return existsSync(publicFile) ? fingerprintOf(read(publicFile)) : null;
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const reason = codeOf(error) === "ENOENT" ? "there is no such file" : (error as Error).message;
    throw new Failure(`cannot read the key ${path}: ${reason}`);
  }
}

function fingerprintOf(line: string): string | null {
  const [, key] = /^(?:ssh|ecdsa|sk)-\S+\s+([A-Za-z0-9+/]+=*)/.exec(line) ?? [];
  if (key === undefined) return null;
  const digest = createHash("sha256").update(Buffer.from(key, "base64")).digest("base64");
  return `SHA256:${digest.replace(/=+$/, "")}`;
}
