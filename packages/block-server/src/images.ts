/** Images between this node and the store: sent once however many ask, and on when who asked has gone. */
import { AppError, type Clock, type Logger, untilAborted } from "@mags/core";
import type { ObjectStore } from "@mags/object-store";
import {
  collectImages,
  fetchImage,
  type ImageFiles,
  type ImageUpload,
  keepImage,
  newImageUpload,
} from "@mags/workspace-store";
import type { BlockServerCalls, GarbageCount } from "./calls.ts";

type Signal = { readonly signal: AbortSignal };

export interface Images extends AsyncDisposable {
  /**
   * Resolves when the store has the image whole, and keeps it for the time of grace.
   * @throws AppError `unavailable` and what a store says; `internal` when the files are not what their digest says.
   */
  keep(image: ImageFiles, options: Signal): Promise<void>;
  /**
   * True when this process has lately seen to it that the store has the image. It may be gone when no version names it, or
   * when an operator removed it.
   */
  wasKept(digest: string): boolean;
  fetch(
    params: Parameters<BlockServerCalls["fetchImage"]>[0],
    options: Signal,
  ): ReturnType<BlockServerCalls["fetchImage"]>;
  collect(options: Signal): Promise<GarbageCount>;
}

/** For so long an image that was kept need not be kept again, if the grace allows it. */
const KEPT_MS = 3_600_000;
/**
 * For so long after an upload began one that failed is gone on with, if the grace allows it: what was sent is garbage from
 * then on. With a send it takes less than any grace.
 */
const UPLOAD_LIMIT_MS = 12 * 3_600_000;
/** For so long something may be on its way although nobody waits for it any more. */
const SEND_MS = 3_600_000;

export function createImages(deps: {
  readonly store: ObjectStore;
  readonly graceMs: number;
  readonly clock: Clock;
  readonly log: Logger;
}): Images {
  const { store, graceMs, clock, log } = deps;
  const ending = new AbortController();
  const keeping = new Map<string, Promise<void>>();
  const keptAtMs = new Map<string, number>();
  const uploads = new Map<string, { readonly upload: ImageUpload; readonly begunMs: number }>();
  const witnesses = new Map<string, string>();

  function wasKept(digest: string): boolean {
    const keptMs = keptAtMs.get(digest);
    return keptMs !== undefined && clock.bootMs() - keptMs < Math.min(KEPT_MS, graceMs / 4);
  }

  function uploadOf(digest: string): ImageUpload {
    const begun = uploads.get(digest);
    if (begun && clock.bootMs() - begun.begunMs < Math.min(UPLOAD_LIMIT_MS, graceMs / 4)) return begun.upload;
    const upload = newImageUpload();
    uploads.set(digest, { upload, begunMs: clock.bootMs() });
    return upload;
  }

  async function send(image: ImageFiles): Promise<void> {
    const { name, digest } = image;
    const begunMs = clock.bootMs();
    const signal = AbortSignal.any([ending.signal, AbortSignal.timeout(SEND_MS)]);
    const { sent } = await keepImage(store, image, { upload: uploadOf(digest), signal });
    uploads.delete(digest);
    keptAtMs.set(digest, begunMs);
    if (sent) log.info("blocks.image_sent", { name, digest, durationMs: Math.round(clock.bootMs() - begunMs) });
  }

  return {
    async keep(image, { signal }) {
      const { digest } = image;
      if (wasKept(digest)) return;
      const under = keeping.get(digest) ?? send(image).finally(() => keeping.delete(digest));
      keeping.set(digest, under);
      under.catch(() => {}); // who waits for it sees it
      await untilAborted(under, signal);
    },
    wasKept,
    async fetch({ digest, disk, caBundle }, { signal: asked }) {
      const begunMs = clock.bootMs();
      const signal = AbortSignal.any([asked, ending.signal]);
      const fetched = await fetchImage(store, digest, { disk, caBundle, signal });
      log.info("blocks.image_fetched", { digest, durationMs: Math.round(clock.bootMs() - begunMs) });
      return fetched;
    },
    async collect({ signal }) {
      const { removed, removedBytes, waiting, unreadable } = await collectImages(store, {
        ...{ graceMs, clock, witnesses, signal },
      });
      for (const object of unreadable) log.error("blocks.object_unreadable", { ...object });
      return { removed: removed.length, removedBytes, waiting, unreadable: unreadable.length };
    },
    async [Symbol.asyncDispose]() {
      ending.abort(new AppError("unavailable", "the block server ends"));
      await Promise.allSettled(keeping.values());
    },
  };
}
