/**
 * Signatures of texts, as `ssh-keygen -Y sign` makes them.
 * @see https://github.com/openssh/openssh-portable/blob/master/PROTOCOL.sshsig
 */
import { createHash, type KeyObject, verify } from "node:crypto";
import { AppError } from "@mags/core";
import { fingerprintOf } from "@mags/domain";
import type { ParsedPublicKey } from "./public-key.ts";
import { SshReader } from "./reader.ts";

const MAGIC = "SSHSIG";
const VERSION = 1;
const ARMOR = { begin: "-----BEGIN SSH SIGNATURE-----", end: "-----END SSH SIGNATURE-----" };

interface Signature {
  readonly publicKey: Buffer;
  readonly namespace: string;
  readonly reserved: Buffer;
  readonly hash: string;
  readonly algorithm: string;
  readonly value: Buffer;
}

/**
 * Returns when the text was signed with the key, for this use.
 * @param armored  What `ssh-keygen -Y sign` wrote.
 * @throws AppError `validation_failed` that says why not, and what to do.
 */
export function checkSignature(
  armored: string,
  signed: { readonly by: ParsedPublicKey; readonly namespace: string; readonly text: string },
): void {
  const { by, namespace, text } = signed;
  const signature = readSignature(armored);
  if (!signature.publicKey.equals(by.blob))
    throw refused(`was made with the key ${fingerprintOf(signature.publicKey)}, not with ${by.fingerprint}`);
  if (signature.namespace !== namespace)
    throw refused(
      `was made for ${JSON.stringify(signature.namespace.slice(0, 40))}, not for ${JSON.stringify(namespace)}: sign with ssh-keygen -Y sign -n ${namespace}`,
    );
  if (!isRight(signature, by, Buffer.from(text)))
    throw refused("does not fit the challenge: sign exactly its text, with no line end behind it");
}

function readSignature(armored: string): Signature {
  const text = armored.trim();
  if (!text.startsWith(ARMOR.begin) || !text.endsWith(ARMOR.end))
    throw refused(`is none of SSH: send all that ssh-keygen -Y sign makes, from ${ARMOR.begin} on`);
  try {
    return read(new SshReader(Buffer.from(text.slice(ARMOR.begin.length, -ARMOR.end.length), "base64")));
  } catch (cause) {
    throw refused("is damaged: send all that ssh-keygen -Y sign makes", cause);
  }
}

function read(reader: SshReader): Signature {
  if (reader.bytes(MAGIC.length).toString("latin1") !== MAGIC) throw new Error("it does not begin as one");
  if (reader.uint32() !== VERSION) throw new Error("it is of another version");
  const [publicKey, namespace, reserved, hash] = [reader.blob(), reader.text(), reader.blob(), reader.text()];
  const inner = new SshReader(reader.blob());
  reader.end();
  const signature = { publicKey, namespace, reserved, hash, algorithm: inner.text(), value: inner.blob() };
  inner.end();
  return signature;
}

function isRight(signature: Signature, by: ParsedPublicKey, text: Buffer): boolean {
  const { namespace, reserved, hash } = signature;
  if (hash !== "sha256" && hash !== "sha512") throw refused(`uses the digest ${JSON.stringify(hash.slice(0, 40))}`);
  const digest = createHash(hash).update(text).digest();
  const parts = [Buffer.from(namespace, "latin1"), reserved, Buffer.from(hash), digest];
  const data = Buffer.concat([Buffer.from(MAGIC), ...parts.flatMap((part) => [lengthOf(part), part])]);
  return ALGORITHMS[by.type]?.(signature, by.key, data) ?? false;
}

type Check = (signature: Signature, key: KeyObject, data: Buffer) => boolean;

const rsa: Check = ({ algorithm, value }, key, data) => {
  const [, digest] = /^rsa-sha2-(256|512)$/.exec(algorithm) ?? [];
  if (digest === undefined) throw refused(`uses ${JSON.stringify(algorithm.slice(0, 40))}, not rsa-sha2-512`);
  return verify(`sha${digest}`, data, key, value);
};

const ecdsa =
  (curve: string, digest: string, bytes: number): Check =>
  ({ algorithm, value }, key, data) => {
    const numbers = algorithm === `ecdsa-sha2-${curve}` ? twoNumbers(value, bytes) : null;
    return numbers !== null && verify(digest, data, { key, dsaEncoding: "ieee-p1363" }, numbers);
  };

/** By the type of the key. */
const ALGORITHMS: Readonly<Record<string, Check>> = {
  "ssh-ed25519": ({ algorithm, value }, key, data) => algorithm === "ssh-ed25519" && verify(null, data, key, value),
  "ssh-rsa": rsa,
  "ecdsa-sha2-nistp256": ecdsa("nistp256", "sha256", 32),
  "ecdsa-sha2-nistp384": ecdsa("nistp384", "sha384", 48),
  "ecdsa-sha2-nistp521": ecdsa("nistp521", "sha512", 66),
};

/** As two numbers of fixed length; null: it is no such signature. */
function twoNumbers(value: Buffer, bytes: number): Buffer | null {
  const reader = new SshReader(value);
  try {
    const numbers = [reader.positive(), reader.positive()];
    reader.end();
    if (numbers.some(({ length }) => length > bytes)) return null;
    return Buffer.concat(numbers.map((number) => Buffer.concat([Buffer.alloc(bytes - number.length), number])));
  } catch {
    return null;
  }
}

function lengthOf(part: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(part.length);
  return length;
}

function refused(why: string, cause?: unknown): AppError {
  return new AppError("validation_failed", `signature: ${why}`, { cause });
}
