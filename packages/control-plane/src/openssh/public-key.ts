/** Public keys of users, as OpenSSH writes them: RFC 4253 6.6, RFC 5656 3.1, RFC 8709 4. */
import { createPublicKey, type JsonWebKey, type KeyObject } from "node:crypto";
import { AppError } from "@mags/core";
import { fingerprintOf, type SshPublicKey } from "@mags/domain";
import { SshReader } from "./reader.ts";

export interface ParsedPublicKey extends SshPublicKey {
  /** What follows the key in its line, often `user@host`; may be empty. */
  readonly comment: string;
  readonly key: KeyObject;
}

const CURVES: Readonly<Record<string, { readonly curve: string; readonly bytes: number }>> = {
  "ecdsa-sha2-nistp256": { curve: "P-256", bytes: 32 },
  "ecdsa-sha2-nistp384": { curve: "P-384", bytes: 48 },
  "ecdsa-sha2-nistp521": { curve: "P-521", bytes: 66 },
};
const UNCOMPRESSED = 4;
const LEAST_RSA_BITS = 2048;
/** OpenSSH's own limit. */
const MOST_RSA_BITS = 16_384;
const CURE = "make another with ssh-keygen -t ed25519";

/**
 * @param text  The line of a `.pub` file.
 * @throws AppError `validation_failed` that says what is wrong with it and what to do.
 */
export function parsePublicKey(text: string): ParsedPublicKey {
  const line = text.trim();
  if (/^-+ ?BEGIN .*PRIVATE KEY/.test(line))
    throw refused("is a private key, which is to stay where it is; send the public one, of the file that ends in .pub");
  if (/^-+ ?BEGIN /.test(line)) throw refused("is not a line as in .pub files; convert it with ssh-keygen -i");
  if (/[\r\n]/.test(line)) throw refused("is more than one line; send one key at a time");
  const [, type, base64, comment = ""] = /^(\S+)[ \t]+([A-Za-z0-9+/]+={0,2})(?:[ \t]+(.*))?$/.exec(line) ?? [];
  if (type === undefined || base64 === undefined)
    throw refused("is not a line as in .pub files: the type, the key in base64, and a comment");
  const why = whyUnsupported(type);
  if (why !== null) throw refused(why);
  const blob = Buffer.from(base64, "base64");
  return { type, blob, fingerprint: fingerprintOf(blob), comment: comment.trim(), key: keyOf(type, blob) };
}

function whyUnsupported(type: string): string | null {
  if (type === "ssh-ed25519" || type === "ssh-rsa" || Object.hasOwn(CURVES, type)) return null;
  if (/-cert-v\d+@openssh\.com$/.test(type)) return "is a certificate; send the key that it was made for";
  if (type.startsWith("sk-")) return `is of a security key (${type}), which is not supported; ${CURE}`;
  if (type === "ssh-dss") return `is a DSA key, which nobody should use any more; ${CURE}`;
  return `is of a type that is not supported: ${JSON.stringify(type.slice(0, 40))}; ${CURE}`;
}

function keyOf(type: string, blob: Buffer): KeyObject {
  let key: KeyObject;
  try {
    key = createPublicKey({ key: jwkOf(type, blob), format: "jwk" });
  } catch (cause) {
    throw refused(`is damaged: it is no key of the type ${type}; copy the whole line`, cause);
  }
  const bits = key.asymmetricKeyDetails?.modulusLength;
  if (bits !== undefined && bits < LEAST_RSA_BITS)
    throw refused(`is an RSA key of ${bits} bits, at least ${LEAST_RSA_BITS} are needed; ${CURE}`);
  if (bits !== undefined && bits > MOST_RSA_BITS)
    throw refused(`is an RSA key of ${bits} bits, at most ${MOST_RSA_BITS} are supported; ${CURE}`);
  return key;
}

function jwkOf(type: string, blob: Buffer): JsonWebKey {
  const reader = new SshReader(blob);
  if (reader.text() !== type) throw new Error("it is a key of another type");
  const jwk = numbersOf(type, reader);
  reader.end();
  return jwk;
}

function numbersOf(type: string, reader: SshReader): JsonWebKey {
  const text = (bytes: Buffer) => bytes.toString("base64url");
  if (type === "ssh-ed25519") return { kty: "OKP", crv: "Ed25519", x: text(reader.blob()) };
  if (type === "ssh-rsa") {
    const e = text(reader.positive());
    return { kty: "RSA", e, n: text(reader.positive()) };
  }
  const { curve, bytes } = CURVES[type] ?? { curve: "", bytes: 0 };
  if (`ecdsa-sha2-${reader.text()}` !== type) throw new Error("it is of another curve");
  const point = reader.blob();
  if (point[0] !== UNCOMPRESSED || point.length !== 1 + 2 * bytes) throw new Error("it is no point of the curve");
  return { kty: "EC", crv: curve, x: text(point.subarray(1, 1 + bytes)), y: text(point.subarray(1 + bytes)) };
}

function refused(why: string, cause?: unknown): AppError {
  return new AppError("validation_failed", `public_key: ${why}`, { cause });
}
