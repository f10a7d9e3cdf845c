/** What the store has of images. */
import { isAppError, messageOf } from "@mags/core";
import type { ObjectStore } from "@mags/object-store";
import { type FoundImage, readImage } from "./image-descriptor.ts";
import { IMAGES_PREFIX, imageObjectOf } from "./image-keys.ts";

type Signal = { readonly signal: AbortSignal };

export interface ListedUpload {
  readonly digest: string;
  readonly upload: string;
  /** Keys of its parts, with their sizes. */
  readonly parts: ReadonlyMap<string, number>;
}

export interface ImageSurvey {
  /** By digest, with those that were removed. */
  readonly images: ReadonlyMap<string, FoundImage>;
  /** Digests of those whose descriptors are damaged or of an unknown format, with why. */
  readonly unreadable: ReadonlyMap<string, string>;
  /** By image and id; of an image, of an upload that is under way, or left over. */
  readonly uploads: readonly ListedUpload[];
}

/** Parts are listed before descriptors are read, so parts of an image that becomes whole meanwhile are never strays. */
export async function surveyImages(store: ObjectStore, { signal }: Signal): Promise<ImageSurvey> {
  const digests = new Set<string>();
  const uploads = new Map<string, ListedUpload & { readonly parts: Map<string, number> }>();
  for await (const { key, sizeBytes } of store.list(IMAGES_PREFIX, { signal })) {
    const found = imageObjectOf(key);
    if (!found) continue;
    const { digest, upload } = found;
    digests.add(digest);
    if (upload === undefined) continue;
    const listed = uploads.get(`${digest} ${upload}`) ?? { digest, upload, parts: new Map<string, number>() };
    listed.parts.set(key, sizeBytes);
    uploads.set(`${digest} ${upload}`, listed);
  }
  const images = new Map<string, FoundImage>();
  const unreadable = new Map<string, string>();
  for (const digest of digests) {
    try {
      const image = await readImage(store, digest, { signal });
      if (image) images.set(digest, image);
    } catch (error) {
      if (!isAppError(error, "store_corrupt")) throw error;
      unreadable.set(digest, messageOf(error));
    }
  }
  return { images, unreadable, uploads: [...uploads.values()] };
}
