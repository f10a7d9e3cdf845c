import { createHash, randomBytes } from "node:crypto";

const PREFIX = "mags_";
const SECRET_BYTES = 32;
const SHOWN_CHARACTERS = PREFIX.length + 5;
const PATTERN = /^mags_[A-Za-z0-9_-]{43}$/;

/** A token of 256 random bits: it needs no slow hash, because it cannot be guessed. */
export function newToken(): string {
  return PREFIX + randomBytes(SECRET_BYTES).toString("base64url");
}

/** False for what can be no token, which then costs no look into the database. */
export function looksLikeToken(text: string): boolean {
  return PATTERN.test(text);
}

export function hashToken(token: string): Buffer {
  return createHash("sha256").update(token).digest();
}

/** What may be shown of a token to tell it from others. */
export function tokenPrefix(token: string): string {
  return token.slice(0, SHOWN_CHARACTERS);
}
