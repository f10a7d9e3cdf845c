/**
 * Secrets of the installation as the database keeps them: worth nothing without the key, which lies beside it in a file.
 * A sealed value says which key it needs, and opens only in the row that it was sealed for.
 * @see docs/formats/sealed-value.md
 */
import { createCipheriv, createDecipheriv, hash, hkdfSync, randomBytes } from "node:crypto";
import { Secret } from "@mags/core";

const MAGIC = Buffer.from("MSV1");
const KEY_ID_BYTES = 8;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const HEADER_BYTES = MAGIC.length + KEY_ID_BYTES;
const CIPHER = "aes-256-gcm";
export const SEALING_KEY_BYTES = 32;

export interface SealingKey {
  readonly bytes: Buffer;
  /** Where it lies, for messages. */
  readonly file: string;
}

/** `refused`: why it cannot be opened, for who rules the server; it names the file. */
export type Opened = { readonly secret: Secret } | { readonly refused: string };

export interface Sealing {
  /** @param row  Which row it is for, and of which table. */
  seal(secret: Secret, row: string): Buffer;
  open(sealed: Buffer, row: string): Opened;
  /** 32 bytes for another purpose, the same each time. */
  keyFor(purpose: string): Buffer;
}

export function createSealing(key: SealingKey): Sealing {
  const keyId = keyIdOf(key.bytes);
  const header = Buffer.concat([MAGIC, keyId]);
  const bound = (row: string) => Buffer.concat([header, Buffer.from(row)]);

  return {
    keyFor: (purpose) => Buffer.from(hkdfSync("sha256", key.bytes, "", `mags ${purpose}`, SEALING_KEY_BYTES)),

    seal(secret, row) {
      const nonce = randomBytes(NONCE_BYTES);
      const cipher = createCipheriv(CIPHER, key.bytes, nonce).setAAD(bound(row));
      const text = Buffer.concat([cipher.update(secret.reveal(), "utf8"), cipher.final()]);
      return Buffer.concat([header, nonce, text, cipher.getAuthTag()]);
    },

    open(sealed, row) {
      if (sealed.length < HEADER_BYTES + NONCE_BYTES + TAG_BYTES || !sealed.subarray(0, MAGIC.length).equals(MAGIC))
        return { refused: "it is damaged, or was sealed by a newer version of magsd" };
      const needed = sealed.subarray(MAGIC.length, HEADER_BYTES);
      if (!needed.equals(keyId))
        return {
          refused: `it was sealed with key ${needed.toString("hex")}, and ${key.file} holds key ${keyId.toString("hex")}`,
        };
      const nonce = sealed.subarray(HEADER_BYTES, HEADER_BYTES + NONCE_BYTES);
      const end = sealed.length - TAG_BYTES;
      const decipher = createDecipheriv(CIPHER, key.bytes, nonce, { authTagLength: TAG_BYTES })
        .setAAD(bound(row))
        .setAuthTag(sealed.subarray(end));
      try {
        const text = Buffer.concat([
          decipher.update(sealed.subarray(HEADER_BYTES + NONCE_BYTES, end)),
          decipher.final(),
        ]);
        return { secret: new Secret(text.toString()) };
      } catch {
        return { refused: `it is damaged, or was put into another row (its key is that of ${key.file})` };
      }
    },
  };
}

/** Tells keys apart and nothing of what they are. */
function keyIdOf(bytes: Buffer): Buffer {
  return hash("sha256", Buffer.concat([Buffer.from("mags sealing key\0"), bytes]), "buffer").subarray(0, KEY_ID_BYTES);
}
