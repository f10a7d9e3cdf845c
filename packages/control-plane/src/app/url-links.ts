/**
 * Links that open private URLs. What opens one is signed with a key of the installation, and says itself until when it
 * holds; that it was not revoked, the database says.
 * @see docs/formats/url-link.md
 */
import { createHmac, randomUUID, timingSafeEqual } from "node:crypto";
import { AppError } from "@mags/core";
import type { SandboxId } from "@mags/domain";
import type { Sealing } from "./sealing.ts";
import type { UrlLink, UrlStore } from "./url-store.ts";

/** What a link opens. */
export interface LinkPlace {
  readonly sandboxId: SandboxId;
  readonly port: number;
}

export interface UrlLinks {
  /** @throws AppError `validation_failed` where there are too many */
  make(place: LinkPlace, options: { readonly expiresInMs: number }): Promise<UrlLink & { readonly token: string }>;
  /** @throws AppError `unauthenticated`, for whoever has asked */
  check(token: string, place: LinkPlace): Promise<void>;
}

export interface UrlLinksDeps {
  readonly store: Pick<UrlStore, "addLink" | "linkStands">;
  readonly sealing: Pick<Sealing, "keyFor">;
  readonly clock: { now(): Date };
}

const MOST_LINKS = 1_000;
const ID_BYTES = 16;
/** The id, and seconds since 1970. */
const CLAIM_BYTES = ID_BYTES + 4;
const TOKEN = /^([A-Za-z0-9_-]{27})\.([A-Za-z0-9_-]{43})$/;

export function createUrlLinks({ store, sealing, clock }: UrlLinksDeps): UrlLinks {
  const key = sealing.keyFor("url links");
  const sign = (claim: Buffer, { sandboxId, port }: LinkPlace) =>
    createHmac("sha256", key).update(claim).update(`${sandboxId} ${port}`).digest();

  return {
    async make(place, { expiresInMs }) {
      const createdAt = clock.now();
      const seconds = Math.ceil((createdAt.getTime() + expiresInMs) / 1000);
      const link = { id: randomUUID(), ...place, createdAt, expiresAt: new Date(seconds * 1000), revokedAt: null };
      if (!(await store.addLink(link, { most: MOST_LINKS })))
        throw new AppError(
          "validation_failed",
          `a VM has at most ${MOST_LINKS} links that hold: revoke some, or have them expire sooner`,
        );
      const claim = claimOf(link.id, seconds);
      return { ...link, token: `${claim.toString("base64url")}.${sign(claim, place).toString("base64url")}` };
    },

    async check(token, place) {
      const [, claimText = "", signature = ""] = TOKEN.exec(token) ?? [];
      const claim = Buffer.from(claimText, "base64url");
      const isSigned =
        claim.length === CLAIM_BYTES && timingSafeEqual(Buffer.from(signature, "base64url"), sign(claim, place));
      if (!isSigned) throw new AppError("unauthenticated", "this page is private, and what was shown does not open it");
      if (claim.readUInt32BE(ID_BYTES) * 1000 <= clock.now().getTime())
        throw new AppError("unauthenticated", "this page is private, and the link to it has expired: ask for another");
      if (!(await store.linkStands(idOf(claim))))
        throw new AppError("unauthenticated", "this page is private, and the link to it was revoked");
    },
  };
}

function claimOf(id: string, seconds: number): Buffer {
  const claim = Buffer.alloc(CLAIM_BYTES);
  claim.write(id.replaceAll("-", ""), "hex");
  claim.writeUInt32BE(seconds, ID_BYTES);
  return claim;
}

const idOf = (claim: Buffer) =>
  claim.toString("hex", 0, ID_BYTES).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
