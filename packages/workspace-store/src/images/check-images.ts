/** Looks whether the images that versions name are whole in the store. Changes nothing, and may run at any time. */
import type { ObjectStore } from "@mags/object-store";
import { wrongTwice } from "../check.ts";
import type { StoredImage } from "../format/image.ts";
import { partsOf, readImagePart, storedImage } from "./fetch-image.ts";
import { imageKey, partKey } from "./image-keys.ts";
import { type ImageSurvey, surveyImages } from "./list-images.ts";

type Signal = { readonly signal: AbortSignal };

export interface CheckImagesOptions extends Signal {
  /** Digests of images that versions name, with the keys of those that do. */
  readonly named: ReadonlyMap<string, readonly string[]>;
  /** Also read all parts. */
  readonly data: boolean;
  readonly onProblem: (problem: { readonly key: string; readonly what: string }) => void;
}

export interface CheckedImages {
  readonly images: number;
  readonly parts: number;
  /** Images that no version names: the collector removes them in time. */
  readonly unusedImages: number;
  readonly problems: number;
}

export async function checkImages(store: ObjectStore, options: CheckImagesOptions): Promise<CheckedImages> {
  const { named, signal } = options;
  let problems = 0;
  const report = (key: string, what: string) => {
    problems++;
    options.onProblem({ key, what });
  };
  const survey = await surveyImages(store, { signal });
  const there = [...survey.images].flatMap(([digest, { image }]) => (image.state === "whole" ? [digest] : []));
  let parts = 0;
  for (const digest of new Set([...there, ...named.keys(), ...survey.unreadable.keys()])) {
    let image: StoredImage | undefined;
    const wrong = await wrongTwice(async () => {
      image = await storedImage(store, digest, { signal });
    });
    if (wrong) {
      const witness = await firstThere(store, named.get(digest) ?? [], { signal });
      // One that was removed meanwhile is missed by nobody, unless a version that is still there names it.
      if (witness) report(imageKey(digest), `${wrong}; ${witness} names it`);
      else if (survey.unreadable.has(digest)) report(imageKey(digest), wrong);
    }
    if (!image) continue;
    parts += partsOf(image).length;
    for (const { key, what } of await problemsOf(store, image, { ...options, survey })) {
      const again = await storedImage(store, digest, { signal }).catch(() => undefined);
      if (again?.upload === image.upload) report(key, what);
    }
  }
  return {
    images: there.length,
    parts,
    unusedImages: there.filter((digest) => !named.has(digest)).length,
    problems,
  };
}

async function firstThere(
  store: ObjectStore,
  keys: readonly string[],
  { signal }: Signal,
): Promise<string | undefined> {
  for (const key of keys) if (await store.head(key, { signal })) return key;
  return undefined;
}

async function problemsOf(
  store: ObjectStore,
  image: StoredImage,
  { data, survey, signal }: Signal & { readonly data: boolean; readonly survey: ImageSurvey },
): Promise<{ readonly key: string; readonly what: string }[]> {
  const { digest, upload } = image;
  const listed = survey.uploads.find((one) => one.digest === digest && one.upload === upload)?.parts;
  const found: { key: string; what: string }[] = [];
  for (const [index, part] of partsOf(image).entries()) {
    const key = partKey(digest, { upload, index });
    if (!data && listed?.get(key) === part[0]) continue;
    const what = await wrongTwice(async () => void (await readImagePart(store, image, { index, part, signal })));
    if (what) found.push({ key, what });
  }
  return found;
}
