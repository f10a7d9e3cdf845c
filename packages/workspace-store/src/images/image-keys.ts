/** Keys of the objects of images. @see docs/formats/stored-images.md */
import { AppError } from "@mags/core";

export const IMAGES_PREFIX = "images/";
/** What the collector saw of images. */
export const IMAGES_CONDEMNED = "images/condemned";

const DIGEST = /^sha256:([0-9a-f]{64})$/;
const OBJECT = /^images\/([0-9a-f]{64})\/(?:image|([0-9a-f]{32})\/\d{6})$/;

export const imageKey = (digest: string) => `images/${hexOf(digest)}/image`;
export const uploadPrefix = (digest: string, upload: string) => `images/${hexOf(digest)}/${upload}/`;
export const partKey = (digest: string, { upload, index }: { readonly upload: string; readonly index: number }) =>
  `${uploadPrefix(digest, upload)}${String(index).padStart(6, "0")}`;

/** What a key below `images/` is of; `upload` for a part. Undefined for a stranger. */
export function imageObjectOf(
  key: string,
): { readonly digest: string; readonly upload: string | undefined } | undefined {
  const [, hex, upload] = OBJECT.exec(key) ?? [];
  return hex === undefined ? undefined : { digest: `sha256:${hex}`, upload };
}

/** @throws AppError `validation_failed` for what is no digest of an image. */
function hexOf(digest: string): string {
  const hex = DIGEST.exec(digest)?.[1];
  if (hex === undefined) throw new AppError("validation_failed", `${JSON.stringify(digest)} is no digest of an image`);
  return hex;
}
