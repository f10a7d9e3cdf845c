/** Which of the keys on this machine are registered with the account. */
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

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

function fingerprintOf(line: string): string | null {
  const [, key] = /^(?:ssh|ecdsa|sk)-\S+\s+([A-Za-z0-9+/]+=*)/.exec(line) ?? [];
  if (key === undefined) return null;
  const digest = createHash("sha256").update(Buffer.from(key, "base64")).digest("base64");
  return `SHA256:${digest.replace(/=+$/, "")}`;
}
