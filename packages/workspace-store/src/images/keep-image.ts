/** Has an image stay in the store while a version that names it is published. */
import { AppError } from "@mags/core";
import type { ObjectStore } from "@mags/object-store";
import { readReplaceableImage, tryReplaceImage } from "./image-descriptor.ts";
import { type ImageFiles, type ImageUpload, newImageUpload, sendImage } from "./send-image.ts";

const ATTEMPTS = 5;

/**
 * Sends an image that the store does not have, or whose descriptor is damaged; of one that it has the descriptor is written anew, by which the collector
 * knows that somebody counts on it. From then on it stays for the time of grace, and while a version names it. May be
 * repeated, and run at the same time anywhere.
 * @param upload  What an earlier call that failed has sent, begun so lately that the collector has removed nothing of it.
 * @returns whether it was sent.
 * @throws AppError `store_corrupt` when its descriptor is of a format that is not known, `internal` when the files are.
 */
export async function keepImage(
  store: ObjectStore,
  image: ImageFiles,
  { upload = newImageUpload(), signal }: { readonly upload?: ImageUpload; readonly signal: AbortSignal },
): Promise<{ readonly sent: boolean }> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const found = await readReplaceableImage(store, image.digest, { signal });
    const expected = found?.etag;
    const known = found?.image;
    if (known && known !== "damaged" && known.state === "whole") {
      if (await tryReplaceImage(store, known, { expected, signal })) return { sent: false };
      continue;
    }
    const sent = await sendImage(store, image, { upload, signal });
    const { name, digest } = image;
    if (await tryReplaceImage(store, { state: "whole", name, digest, ...sent }, { expected, signal }))
      return { sent: true };
  }
  throw new AppError("unavailable", `others were quicker to write image ${image.digest}, ${ATTEMPTS} times: try again`);
}
