/**
 * The collector of images: removes those that no version of any account named for the time of grace, and what uploads left
 * that never ended. It may run at any time, beside writers and other collectors. @see docs/formats/stored-images.md
 */
import type { Clock } from "@mags/core";
import type { ObjectStore } from "@mags/object-store";
import { type Collected, damageOf, type Unreadable } from "../collect.ts";
import { judge, readCondemned, tryWriteCondemned } from "../condemned.ts";
import { tryReplaceImage } from "./image-descriptor.ts";
import { IMAGES_CONDEMNED, imageKey } from "./image-keys.ts";
import { findWitnesses } from "./image-witnesses.ts";
import { type ImageSurvey, surveyImages } from "./list-images.ts";

export interface CollectImagesOptions {
  /** How long something must have been garbage, without a break, before it is removed. */
  readonly graceMs: number;
  readonly clock: Clock;
  /** What an earlier look found; kept up. Empty at first. */
  readonly witnesses: Map<string, string>;
  readonly signal: AbortSignal;
}

/** @throws AppError `store_corrupt` if the list of what is condemned is of an unknown format: then nothing is removed. */
export async function collectImages(store: ObjectStore, options: CollectImagesOptions): Promise<Collected> {
  const { graceMs, clock, witnesses, signal } = options;
  const survey = await surveyImages(store, { signal });
  const whole = [...survey.images].flatMap(([digest, { image }]) => (image.state === "whole" ? [digest] : []));
  const { named, unreadable } = await findWitnesses(store, whole, { known: witnesses, signal });
  const before = await readCondemned(store, IMAGES_CONDEMNED, { signal });
  const told: Unreadable[] = [
    ...damageOf(before, IMAGES_CONDEMNED),
    ...[...survey.unreadable].map(([digest, what]) => ({ key: imageKey(digest), what })),
    ...unreadable.map((key) => ({ key, what: "it cannot be read, so it may name any image" })),
  ];
  // A manifest that cannot be read may name any image.
  const unused = unreadable.length > 0 ? [] : whole.filter((digest) => !named.has(digest));
  // Whoever counts on an image writes its descriptor anew, and its age begins anew with another name.
  const images = new Map(unused.map((digest) => [`${digest} ${survey.images.get(digest)?.image.write_id}`, digest]));
  const strays = straysOf(survey);
  const judgement = judge([...images.keys(), ...strays.keys()], before, { now: clock.now(), graceMs });
  const removed: string[] = [];
  let removedBytes = 0;
  if (await tryWriteCondemned(store, IMAGES_CONDEMNED, { judgement, before, signal }))
    for (const name of judgement.due) {
      const digest = images.get(name);
      const expected = digest === undefined ? undefined : survey.images.get(digest)?.etag;
      // Its parts are strays from then on: nobody who finds it now counts on them.
      if (digest !== undefined && expected !== undefined)
        await tryReplaceImage(store, { state: "removed", digest }, { expected, signal });
      for (const [key, sizeBytes] of strays.get(name)?.parts ?? []) {
        await store.delete(key, { signal });
        removed.push(key);
        removedBytes += sizeBytes;
      }
    }
  return { removed, removedBytes, waiting: images.size + strays.size - judgement.due.size, unreadable: told };
}

/** Uploads that no descriptor names; none of an image whose descriptor cannot be read. */
function straysOf({ images, unreadable, uploads }: ImageSurvey): ReadonlyMap<string, ImageSurvey["uploads"][number]> {
  const strays = uploads.filter(({ digest, upload }) => {
    const image = images.get(digest)?.image;
    if (unreadable.has(digest)) return false;
    return image?.state !== "whole" || image.upload !== upload;
  });
  return new Map(strays.map((upload) => [`${upload.digest} ${upload.upload}`, upload]));
}
