/**
 * The images of a node: those of the installation, and imported ones below `<data_dir>/images`. There each content has a
 * directory named by its digest, written whole and never changed, and `names.json` says which name means which content.
 */
import { randomBytes } from "node:crypto";
import { mkdir, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { AppError, createGate, type Logger } from "@mags/core";
import { removeUnfinishedWrites, syncPath, writeFileDurably } from "../host/files.ts";
import { checkImageName, IMAGE_DISK, type Image, ImageDraft, type ImageRecord } from "./image.ts";
import { CA_BUNDLE, CONTENT, imageOf, readContents } from "./image-contents.ts";
import { openImageNames } from "./image-names.ts";

export interface ImageStore {
  /** Names that jobs may ask for, those of the installation first. */
  names(): string[];
  /** Everything that was imported and is still there; `names` may be none. */
  imported(): readonly StoredImage[];
  /** @throws AppError `validation_failed` when there is none of that name. */
  get(name: string): Image;
  /** As `get`; the content stays at least until it is given back. */
  hold(name: string): HeldImage;
  /** As `hold`, by digest, under whatever name; undefined when it is not here. */
  holdContent(digest: string, name: string): HeldImage | undefined;
  /** Makes room for a content that comes from elsewhere. What is not finished when it is disposed of is removed. */
  beginFetch(digest: string): Promise<Fetch>;
  /** @throws AppError `validation_failed` for a name that no import can have. */
  checkName(name: string): void;
  /** What an import made, before it has a name. @throws AppError `validation_failed`. */
  openBuild(build: string, name: string): Promise<{ readonly image: Image; readonly draft: ImageDraft }>;
  /**
   * Takes the content of a build in, and lets the name mean it from now on.
   * @throws AppError `unavailable` when the build's owner has removed it, or part of it; then nothing is left of it.
   */
  publish(build: string, name: string, record: ImageRecord): Promise<StoredImage>;
  /** The name means nothing any more; what it meant stays until `collect`. */
  forget(name: string): Promise<void>;
  /** Removes contents that have no name, are not held, and of which `isUsed` does not know. @returns their digests. */
  collect(isUsed: (digest: string) => boolean): Promise<string[]>;
}

export interface StoredImage extends ImageRecord {
  readonly names: readonly string[];
}

export interface Fetch extends AsyncDisposable {
  /** Paths for its files. */
  readonly disk: string;
  readonly caBundle: string;
  /** Both are there, proven and synced: the content is taken in, without a name. */
  finish(found: {
    readonly diskBytes: number;
    readonly caBundlePath: string | null;
    readonly createdAt: Date;
  }): Promise<void>;
}

export interface HeldImage extends Disposable {
  readonly image: Image;
}

/** Begins the names of what is half-made, or half removed. */
export const BUILD_PREFIX = "build-";
/** Of a build that is being taken in: it is out of its owner's reach, and the next store's to remove. */
export const PUBLISH_PREFIX = "publish-";
/** Of a content that comes from the object store; the next store's to remove, too. */
const FETCH_PREFIX = "fetch-";
const BUILD = /^build-[0-9a-f]+$/;

export const imagesDirectory = (dataDirectory: string) => join(dataDirectory, "images");

export async function openImageStore(
  root: string,
  deps: { readonly installed: ReadonlyMap<string, Image>; readonly log: Logger },
): Promise<ImageStore> {
  const { installed, log } = deps;
  await mkdir(root, { recursive: true, mode: 0o700 });
  await removeUnfinishedWrites(root);
  for (const entry of await readdir(root))
    if (entry.startsWith(PUBLISH_PREFIX) || entry.startsWith(FETCH_PREFIX))
      await rm(join(root, entry), { recursive: true });
  const contents = await readContents(root, log);
  const names = await openImageNames(join(root, "names.json"));
  for (const [name, digest] of names.all)
    if (!contents.has(digest)) log.error("image.missing", { name, digest, cure: `magsd image import ${name} FILE` });
  const held = new Map<string, number>();
  /** Directories of contents come and go one after the other: an import and a fetch may bring the same one. */
  const turn = createGate(1);

  const directoryOf = (digest: string) => join(root, digest.slice("sha256:".length));
  const allNames = () => {
    const usable = [...names.all].filter(([, digest]) => contents.has(digest)).map(([name]) => name);
    return [...installed.keys(), ...usable.toSorted()];
  };

  /**
   * In one step, under a name whose remains the next start or import sweeps away.
   * @param isWanted  Asked when nobody else brings or removes a content.
   */
  async function removeContent(digest: string, isWanted: () => boolean): Promise<boolean> {
    const aside = join(root, `${BUILD_PREFIX}${randomBytes(6).toString("hex")}`);
    const leave = await turn.enter();
    try {
      if (isWanted()) return false;
      contents.delete(digest);
      await rename(directoryOf(digest), aside);
    } finally {
      leave();
    }
    await rm(aside, { recursive: true, force: true });
    return true;
  }

  function checkName(name: string): void {
    checkImageName(name);
    if (installed.has(name))
      throw new AppError("validation_failed", `image ${name} comes with the installation and cannot be replaced`);
  }

  function get(name: string): Image {
    const brought = installed.get(name);
    if (brought) return brought;
    const digest = names.all.get(name);
    const record = digest === undefined ? undefined : contents.get(digest);
    if (record) return imageOf(name, directoryOf(record.digest), record);
    const there = allNames().join(", ");
    throw new AppError("validation_failed", `there is no image ${JSON.stringify(name)}; there are ${there}`);
  }

  /** Takes a directory with all files of a content in, unless that is here. */
  async function takeIn(directory: string, record: ImageRecord): Promise<void> {
    const leave = await turn.enter();
    try {
      if (contents.has(record.digest)) return;
      const target = directoryOf(record.digest);
      await writeFileDurably(join(directory, "image.json"), `${JSON.stringify(record)}\n`);
      await rm(target, { recursive: true, force: true }); // without a record it is what a removal left
      await rename(directory, target);
      await syncPath(root);
      contents.set(record.digest, record);
    } finally {
      leave();
    }
  }

  function holdImage(image: Image): HeldImage {
    held.set(image.digest, (held.get(image.digest) ?? 0) + 1);
    return { image, [Symbol.dispose]: () => void held.set(image.digest, (held.get(image.digest) ?? 1) - 1) };
  }

  return {
    names: allNames,
    imported: () => [...contents.values()].map((record) => ({ ...record, names: names.of(record.digest).toSorted() })),
    get,

    hold: (name) => holdImage(get(name)),

    holdContent(digest, name) {
      const brought = [...installed.values()].find((image) => image.digest === digest);
      const record = contents.get(digest);
      const image = brought ?? (record && imageOf(name, directoryOf(digest), record));
      return image && holdImage(image);
    },

    async beginFetch(digest) {
      const directory = join(root, `${FETCH_PREFIX}${randomBytes(6).toString("hex")}`);
      await mkdir(directory, { mode: 0o755 });
      return {
        disk: join(directory, IMAGE_DISK),
        caBundle: join(directory, CA_BUNDLE),
        async finish({ diskBytes, caBundlePath, createdAt }) {
          await checkSize(directory, diskBytes, "the image was not fetched whole");
          await takeIn(directory, {
            ...{ version: 1, digest, sizeBytes: diskBytes, caBundle: caBundlePath, createdAt: createdAt.toISOString() },
            ...{ entries: null, devicesLeftOut: null, tools: null, source: { file: "object store", kind: "store" } },
          });
        },
        [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true }),
      };
    },

    checkName,

    async openBuild(build, name) {
      checkName(name);
      if (!BUILD.test(build)) throw new AppError("validation_failed", `${JSON.stringify(build)} is no import`);
      const directory = join(root, build);
      const draft = ImageDraft.parse(JSON.parse(await readFile(join(directory, "draft.json"), "utf8")));
      return { image: imageOf(name, directory, draft), draft };
    },

    async publish(build, name, record) {
      const directory = join(root, `${PUBLISH_PREFIX}${randomBytes(6).toString("hex")}`);
      try {
        // From here on a removal of the build misses it; what one has taken before is seen.
        await takeBuild(join(root, build), { directory, record });
        await takeIn(directory, record);
      } finally {
        await rm(directory, { recursive: true, force: true });
      }
      await names.set(name, record.digest);
      return { ...(contents.get(record.digest) ?? record), names: names.of(record.digest) };
    },

    forget: (name) => names.set(name, undefined),

    async collect(isUsed) {
      const removed: string[] = [];
      const isWanted = (digest: string) =>
        names.of(digest).length > 0 || (held.get(digest) ?? 0) > 0 || isUsed(digest) || !contents.has(digest);
      for (const digest of [...contents.keys()])
        if (await removeContent(digest, () => isWanted(digest))) removed.push(digest);
      for (const entry of await readdir(root)) {
        const digest = `sha256:${entry}`;
        if (CONTENT.test(entry)) await removeContent(digest, () => contents.has(digest) || isUsed(digest));
      }
      return removed;
    },
  };
}

async function takeBuild(
  build: string,
  { directory, record }: { readonly directory: string; readonly record: ImageRecord },
): Promise<void> {
  try {
    await rename(build, directory);
    await rm(join(directory, "draft.json"));
    if (record.caBundle !== null) await stat(join(directory, CA_BUNDLE));
    await checkSize(directory, record.sizeBytes, "the import ended meanwhile");
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== "ENOENT") throw cause;
    throw new AppError("unavailable", "the import ended meanwhile: what it made is gone", { cause });
  }
}

async function checkSize(directory: string, sizeBytes: number, what: string): Promise<void> {
  const { size } = await stat(join(directory, IMAGE_DISK));
  if (size !== sizeBytes) throw new AppError("unavailable", `${what}: its disk has ${size} of ${sizeBytes} bytes`);
}
