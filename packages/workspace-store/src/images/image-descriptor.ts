/** Reads and replaces the descriptor of an image, on the condition that nobody else did meanwhile. */
import { isAppError } from "@mags/core";
import type { ObjectStore } from "@mags/object-store";
import { decodeImage, encodeImage, type ImageDraft, type ImageState } from "../format/image.ts";
import { isForeign } from "../format/json-object.ts";
import { imageKey } from "./image-keys.ts";

type Signal = { readonly signal: AbortSignal };

export interface FoundImage {
  readonly image: ImageState;
  readonly etag: string;
}

/** Undefined when the store never had it. @throws AppError `store_corrupt`. */
export async function readImage(
  store: ObjectStore,
  digest: string,
  { signal }: Signal,
): Promise<FoundImage | undefined> {
  const stored = await fetchDescriptor(store, digest, { signal });
  return stored && { image: decodeImage(stored.bytes, { digest, key: imageKey(digest) }), etag: stored.etag };
}

/**
 * As `readImage`, for who can write it anew: also what is damaged has an etag.
 * @throws AppError `store_corrupt` when it may be whole, of a format that is not known.
 */
export async function readReplaceableImage(
  store: ObjectStore,
  digest: string,
  { signal }: Signal,
): Promise<{ readonly image: ImageState | "damaged"; readonly etag: string } | undefined> {
  const stored = await fetchDescriptor(store, digest, { signal });
  if (!stored) return undefined;
  try {
    return { image: decodeImage(stored.bytes, { digest, key: imageKey(digest) }), etag: stored.etag };
  } catch (error) {
    if (!isAppError(error, "store_corrupt") || isForeign(error)) throw error;
    return { image: "damaged", etag: stored.etag };
  }
}

async function fetchDescriptor(store: ObjectStore, digest: string, { signal }: Signal) {
  try {
    return await store.get(imageKey(digest), { signal });
  } catch (error) {
    if (isAppError(error, "object_not_found")) return undefined;
    throw error;
  }
}

/** @returns false when it is not what was expected any more. A put whose reply was lost counts as what it was. */
export async function tryReplaceImage(
  store: ObjectStore,
  draft: ImageDraft,
  { expected, signal }: Signal & { readonly expected: string | undefined },
): Promise<boolean> {
  const { state, bytes } = encodeImage(draft);
  try {
    await store.put(
      imageKey(draft.digest),
      bytes,
      expected === undefined ? { ifAbsent: true, signal } : { ifMatch: expected, signal },
    );
    return true;
  } catch (error) {
    if (!isAppError(error, "precondition_failed")) throw error;
    return (await readImage(store, draft.digest, { signal }))?.image.write_id === state.write_id;
  }
}
