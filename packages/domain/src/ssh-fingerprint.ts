import { createHash } from "node:crypto";

/** Of a public key as it is sent: `SHA256:` and unpadded base64, as OpenSSH shows it. */
export function fingerprintOf(blob: Uint8Array): string {
  return `SHA256:${createHash("sha256").update(blob).digest("base64").replace(/=+$/, "")}`;
}
