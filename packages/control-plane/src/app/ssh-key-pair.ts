/** Ed25519 keys in the formats of OpenSSH. `ssh2` makes one in 256 of them in a way that no program can read. */
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { Secret } from "@mags/core";
import { fingerprintOf, type SshPublicKey } from "@mags/domain";

const TYPE = "ssh-ed25519";
const BEGIN = "-----BEGIN OPENSSH PRIVATE KEY-----";
const END = "-----END OPENSSH PRIVATE KEY-----";
const MAGIC = Buffer.from("openssh-key-v1\0");
/** No cipher, no derivation of a key from a passphrase and no options of it; one key. */
const HEADER = Buffer.concat([MAGIC, field("none"), field("none"), field(""), Buffer.of(0, 0, 0, 1)]);
const BLOCK_BYTES = 8;
const LINE = 70;

export interface SshKeyPair {
  readonly publicKey: SshPublicKey;
  /** OpenSSH format (PROTOCOL.key), without a passphrase. */
  readonly privateKey: Secret;
}

/** @param comment  Shown by programs that list keys. */
export function newSshKeyPair(comment: string): SshKeyPair {
  const { privateKey } = generateKeyPairSync("ed25519");
  const { x = "", d = "" } = privateKey.export({ format: "jwk" });
  const point = Buffer.from(x, "base64url");
  const blob = Buffer.concat([field(TYPE), field(point)]);
  const check = randomBytes(4);
  const secrets = Buffer.concat([
    ...[check, check, field(TYPE), field(point)],
    ...[field(Buffer.concat([Buffer.from(d, "base64url"), point])), field(comment)],
  ]);
  const padding = Buffer.from(Array.from({ length: -secrets.length & (BLOCK_BYTES - 1) }, (_, index) => index + 1));
  const bytes = Buffer.concat([HEADER, field(blob), field(Buffer.concat([secrets, padding]))]);
  const lines = bytes.toString("base64").match(new RegExp(`.{1,${LINE}}`, "g")) ?? [];
  return { publicKey: publicKeyOf(blob), privateKey: new Secret([BEGIN, ...lines, END, ""].join("\n")) };
}

/** The pair of which this is the private key, which `newSshKeyPair` made. */
export function sshKeyPairOf(privateKey: Secret): SshKeyPair {
  const bytes = Buffer.from(privateKey.reveal().replace(BEGIN, "").replace(END, ""), "base64");
  const begin = HEADER.length + 4;
  const blob = bytes.subarray(begin, begin + bytes.readUInt32BE(HEADER.length));
  return { publicKey: publicKeyOf(blob), privateKey };
}

/** As in a line of `authorized_keys` or, behind the name of the host, of `known_hosts`. */
export function publicKeyLine({ type, blob }: SshPublicKey): string {
  return `${type} ${blob.toString("base64")}`;
}

function publicKeyOf(blob: Buffer): SshPublicKey {
  return { type: TYPE, blob, fingerprint: fingerprintOf(blob) };
}

function field(value: string | Buffer): Buffer {
  const bytes = Buffer.from(value);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}
