/**
 * Images that jobs need: by name, or by the version that their disk stands on, whatever this node calls that image. One
 * that the node does not have is fetched from the object store, once however many ask. It has no name here, and goes when
 * nothing was made from it for a day.
 */
import { type Clock, type Logger, messageOf, untilAborted } from "@mags/core";
import type { VersionRef } from "@mags/domain";
import type { Blocks } from "../workspaces/blocks.ts";
import type { NodeImages } from "./image-administration.ts";
import type { HeldImage, ImageStore } from "./image-store.ts";

export interface ImageSourceDeps {
  readonly store: Pick<ImageStore, "hold" | "holdContent" | "beginFetch" | "imported">;
  readonly blocks: Pick<Blocks, "call">;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface Wanted {
  readonly name: string;
  /** The version that the disk is to stand on. */
  readonly from: VersionRef | null;
}

export interface ImageSource extends AsyncDisposable {
  /**
   * The image stays at least until it is given back.
   * @param onFetch  Called when it has to be fetched, which takes a while.
   * @throws AppError `validation_failed` when there is none of that name; what the store says when it cannot be fetched.
   */
  hold(wanted: Wanted, options: { readonly signal: AbortSignal; readonly onFetch: () => void }): Promise<HeldImage>;
  /** Begins to remove what was fetched and is not used any more. */
  begin(images: Pick<NodeImages, "collectFetched">): void;
}

const IDLE_MS = 24 * 3_600_000;
const LOOK_EVERY_MS = 3_600_000;
const ASK_MS = 30_000;

export function createImageSource({ store, blocks, clock, log }: ImageSourceDeps): ImageSource {
  const ending = new AbortController();
  const fetching = new Map<string, Promise<void>>();
  const usedAtMs = new Map<string, number>();
  const begunMs = clock.bootMs();
  let timer: NodeJS.Timeout | undefined;

  async function fetch(digest: string): Promise<void> {
    await using fetched = await store.beginFetch(digest);
    const { disk, caBundle } = fetched;
    const result = await blocks.call("fetchImage", { digest, disk, caBundle }, { signal: ending.signal });
    await fetched.finish({ ...result, createdAt: clock.now() });
    log.info("image.fetched", { digest, bytes: result.diskBytes });
  }

  async function holdOf(
    { digest, name }: { readonly digest: string; readonly name: string },
    options: {
      readonly signal: AbortSignal;
      readonly onFetch: () => void;
    },
  ): Promise<HeldImage> {
    for (;;) {
      usedAtMs.set(digest, clock.bootMs());
      const held = store.holdContent(digest, name);
      if (held) return held;
      options.onFetch();
      const fetched = fetching.get(digest) ?? fetch(digest).finally(() => fetching.delete(digest));
      fetching.set(digest, fetched);
      fetched.catch(() => {}); // who waits for it sees it
      await untilAborted(fetched, options.signal);
    }
  }

  return {
    async hold({ name, from }, options) {
      if (!from) return store.hold(name);
      const { accountId: account, workspaceId: workspace, version } = from;
      const signal = AbortSignal.any([options.signal, AbortSignal.timeout(ASK_MS)]);
      const image = await blocks.call("imageOf", { account, workspace, version }, { signal });
      return await holdOf(image, options);
    },
    begin(images) {
      const isIdle = (digest: string) => clock.bootMs() - (usedAtMs.get(digest) ?? begunMs) > IDLE_MS;
      const look = async () => {
        const removed = await images.collectFetched(isIdle);
        for (const digest of removed) log.info("image.removed", { digest });
      };
      const onFailure = (error: unknown) => log.warn("image.not_collected", { error: messageOf(error) });
      timer = setInterval(() => void look().catch(onFailure), LOOK_EVERY_MS).unref();
    },
    async [Symbol.asyncDispose]() {
      clearInterval(timer);
      ending.abort(new Error("the node ends"));
      await Promise.allSettled(fetching.values());
    },
  };
}
