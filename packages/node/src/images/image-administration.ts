/** What an operator does with images: import, list, remove, collect. One at a time. */
import { AppError, createGate, type Gate } from "@mags/core";
import { DEFAULT_IMAGE, type Image, type ImageRecord, type Tools } from "./image.ts";
import type { ImageStore } from "./image-store.ts";

/** An image as `magsd image list` shows it. */
export interface ImageSummary {
  /** None: another content took its name, and something still uses this one. */
  readonly names: readonly string[];
  readonly digest: string;
  /** Null for those of the installation. */
  readonly record: ImageRecord | null;
}

export interface Images {
  list(): Promise<readonly ImageSummary[]>;
  /** @throws AppError `validation_failed` for a name that no import can have. */
  checkName(name: string): Promise<void>;
  /**
   * Tries what `prepareImport` made, and gives it a name; a name that means another content means this one from then on.
   * @throws AppError when no script can run in it, the signal's reason when that was not known yet; then it has no name.
   */
  register(build: string, name: string, options?: { readonly signal?: AbortSignal }): Promise<ImageSummary>;
  /**
   * @param usersElsewhere What will come to use it and does not know the node yet, for people.
   * @throws AppError `validation_failed` when there is none of that name, or something uses it.
   */
  remove(name: string, usersElsewhere?: () => readonly string[]): Promise<void>;
  /** Removes contents that no name and nothing else uses. @returns their digests. */
  collect(): Promise<readonly string[]>;
}

export interface NodeImages extends Images {
  /** As `collect`, of those that were fetched from the object store and are idle. */
  collectFetched(isIdle: (digest: string) => boolean): Promise<readonly string[]>;
}

export interface ImagesDeps {
  readonly store: ImageStore;
  readonly installed: ReadonlyMap<string, Image>;
  /** What runs, or waits to run, in an image of that name: for people. */
  readonly usersOf: (name: string) => readonly string[];
  /** Whether a living microVM is made from that content, to be asked at the last moment. Undefined when that cannot be told. */
  readonly whatIsInUse: () => Promise<((digest: string) => boolean) | undefined>;
  readonly removeTemplates: (digest: string) => Promise<void>;
  readonly check: (image: Image, options?: { readonly signal?: AbortSignal }) => Promise<Tools>;
  readonly now: () => Date;
}

export function createImages(deps: ImagesDeps): NodeImages {
  const { store, installed } = deps;
  const turn: Gate = createGate(1);
  const inTurn = async <T>(work: () => Promise<T>): Promise<T> => {
    const leave = await turn.enter();
    try {
      return await work();
    } finally {
      leave();
    }
  };

  async function collect(isWanted = (_digest: string) => true): Promise<readonly string[]> {
    const isInUse = await deps.whatIsInUse();
    if (!isInUse)
      throw new AppError(
        "unavailable",
        "a VM runs whose template is gone, so its image is not known: try again when it has ended",
      );
    const removed = await store.collect((digest) => isInUse(digest) || !isWanted(digest));
    for (const digest of removed) await deps.removeTemplates(digest);
    return removed;
  }

  return {
    async list() {
      return [
        ...[...installed.values()].map(({ name, digest }) => ({ names: [name], digest, record: null })),
        ...store.imported().map(({ names, ...record }) => ({ names, digest: record.digest, record })),
      ];
    },

    async checkName(name) {
      store.checkName(name);
    },

    register: (build, name, options) =>
      inTurn(async () => {
        const { image, draft } = await store.openBuild(build, name);
        const known = store.imported().some(({ digest }) => digest === image.digest);
        try {
          const tools = await deps.check(image, options);
          const record = { ...draft, createdAt: deps.now().toISOString(), tools };
          const { names, ...stored } = await store.publish(build, name, record);
          return { names, digest: stored.digest, record: stored };
        } catch (error) {
          if (!known) await deps.removeTemplates(image.digest);
          throw error;
        }
      }),

    remove: (name, usersElsewhere = () => []) =>
      inTurn(async () => {
        if (installed.has(name))
          throw new AppError(
            "validation_failed",
            name === DEFAULT_IMAGE
              ? `image ${name} comes with the installation: jobs that name no image run in it`
              : `image ${name} comes with the installation and cannot be removed`,
          );
        store.get(name);
        const users = [...deps.usersOf(name), ...usersElsewhere()];
        if (users.length > 0)
          throw new AppError(
            "validation_failed",
            `image ${name} is in use by ${users.slice(0, 5).join(", ")}${users.length > 5 ? ` and ${users.length - 5} more` : ""}: wait for their ends, or stop them`,
          );
        await store.forget(name);
        await collect().catch(() => []); // the next collection has them
      }),

    collect: () => inTurn(collect),
    collectFetched: (isIdle) =>
      inTurn(async () => {
        const fetched = store.imported().filter(({ source, digest }) => source.kind === "store" && isIdle(digest));
        const digests = new Set(fetched.map(({ digest }) => digest));
        return digests.size === 0 ? [] : await collect((digest) => digests.has(digest));
      }),
  };
}
