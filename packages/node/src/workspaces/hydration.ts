/**
 * Copies the version that a sandbox's disk stands on to the disk, slowly and while nothing else is done with its block nodes,
 * until it stands on nothing. Whatever is cut off, by a crash too, is gone on with. The order, and what holds after each step:
 *
 * 1. All of the version is on the disk, on stable storage. The disk reads the same with its base and without.
 * 2. The record says that it stands on nothing: from now on it is opened without a base. This QEMU still has its base, and
 *    asks it for what is zeros.
 * 3. QEMU lets go of the base; one that a crash kept from it does so when it is taken over.
 * 4. The block server does not serve it any more; what is served for nobody is ended by the next start.
 *
 * The other way round, a disk could be written without its base and be opened with it again, and show what is under zeros.
 */
import { statfs } from "node:fs/promises";
import { AppError, isAppError, messageOf } from "@mags/core";
import { detachBase } from "../qemu/disk-view/detach-base.ts";
import { viewPlaceOf } from "../qemu/disk-view/place.ts";
import { settleDisk } from "../qemu/disk-view/settle.ts";
import { showDisk } from "../qemu/disk-view/shown-disk.ts";
import type { Awake, SandboxDeps } from "../sandboxes/sandbox-deps.ts";
import type { SandboxRecord } from "../sandboxes/sandbox-record.ts";

export interface Hydration {
  /** Begins or goes on when it is time, and nothing else is done. */
  tick(): void;
  /** Resolves when nothing of it is under way, so that the block nodes may be changed. Nothing begins before `tick`. */
  rest(): Promise<void>;
}

export interface HydrationOptions {
  readonly bytesPerSecond: number;
  /** A guest that has just started is left alone for so long. */
  readonly afterMs: number;
}

export interface Hydrated {
  readonly record: () => SandboxRecord;
  readonly awake: () => Awake | null;
  /** Its state or disk is about to be another. */
  readonly isChanging: () => boolean;
  readonly change: (changes: (now: SandboxRecord) => Partial<SandboxRecord>) => Promise<void>;
  readonly tell: (name: string, data: Readonly<Record<string, unknown>>) => void;
}

/** After so long the room on the host's disk is looked at again. */
const SLICE_MS = 20_000;
/** What the host's disk has to have free: for what guests write, and for what else the host does. */
const ROOM = { share: 0.05, leastBytes: 2 * 1024 ** 3 };
const PAUSE = { firstMs: 5_000, longestMs: 5 * 60_000 };
/** Where all is copied but what is damaged in the store: it may be mended there. */
const DAMAGED = { longestMs: 3_600_000 };
/** Until the first version of a fork is published. */
const WAIT_MS = 15_000;
const UNSERVE_MS = 5_000;

export function createHydration(deps: SandboxDeps, hydrated: Hydrated): Hydration {
  const { blocks, store, clock, log, hydration: options } = deps;
  const { id } = hydrated.record();
  let running: { readonly ended: Promise<void>; readonly ending: AbortController } | undefined;
  let dueAtMs = 0;
  let pauseMs = PAUSE.firstMs;
  let startedMicroVmId: string | undefined;
  let activeMs = 0;
  let dataBytes = 0;
  /** The record says that it stands on nothing, and others have not heard of it. */
  let untold = false;

  const later = (ms: number) => {
    dueAtMs = clock.bootMs() + ms;
  };

  /** All of the version is on the disk when it resolves. */
  async function copy({ microVm }: Awake, signal: AbortSignal): Promise<void> {
    const { bavail, blocks: all, bsize } = await statfs(store.placeOf(id).directory);
    if (bavail * bsize < ROOM.leastBytes || bavail < ROOM.share * all)
      throw new AppError("unavailable", "the host's disk is nearly full");
    const { qmp } = microVm.machine;
    const place = viewPlaceOf(microVm);
    await settleDisk(qmp, place, { since: hydrated.record().published?.mark ?? null });
    await using shown = await showDisk({ qmp, runtime: deps.runtime, place });
    const { source } = shown;
    const { bytesPerSecond } = options;
    dataBytes = (await blocks.call("hydrate", { id, source, bytesPerSecond }, { signal })).dataBytes;
  }

  async function standOnNothing(): Promise<void> {
    // What it was made from may go now, so nothing is made of that any more: one that is not synced yet is published whole.
    await hydrated.change((now) => ({ base: null, ...(!hasOwnVersion(now) && { published: null }) }));
    untold = true;
  }

  async function letGo(awake: Awake | null, ending: AbortSignal): Promise<void> {
    if (awake) await detachBase(awake.microVm.machine.qmp);
    const signal = AbortSignal.any([ending, AbortSignal.timeout(UNSERVE_MS)]);
    await blocks.call("unserve", { id }, { signal });
    untold = false;
    hydrated.tell("hydrated", { dataBytes, durationMs: Math.round(activeMs) });
  }

  async function goOn(awake: Awake | null, ending: AbortSignal): Promise<void> {
    const slice = AbortSignal.timeout(SLICE_MS);
    try {
      if (!untold && awake) {
        const begunMs = clock.monotonicMs();
        await copy(awake, AbortSignal.any([ending, slice])).finally(() => {
          activeMs += clock.monotonicMs() - begunMs;
        });
        if (hydrated.record().policy.syncTo && !hasOwnVersion(hydrated.record())) return later(WAIT_MS);
        await standOnNothing();
      }
      await letGo(awake, ending);
      pauseMs = PAUSE.firstMs;
    } catch (error) {
      if (ending.aborted || slice.aborted) return;
      log.info("sandbox.hydration_paused", { sandboxId: id, pauseMs, error: messageOf(error) });
      later(pauseMs);
      const { longestMs } = isAppError(error, "chunk_corrupt") || isAppError(error, "store_corrupt") ? DAMAGED : PAUSE;
      pauseMs = Math.min(2 * pauseMs, longestMs);
    }
  }

  return {
    tick() {
      const awake = hydrated.awake();
      if (running || hydrated.isChanging() || (!untold && (!awake || hydrated.record().base === null))) return;
      if (awake && awake.microVm.id !== startedMicroVmId) {
        startedMicroVmId = awake.microVm.id;
        later(options.afterMs);
      }
      if (clock.bootMs() < dueAtMs) return;
      const ending = new AbortController();
      const ended = goOn(awake, ending.signal).finally(() => {
        running = undefined;
      });
      running = { ended, ending };
    },
    async rest() {
      running?.ending.abort();
      await running?.ended;
    },
  };
}

/** A fork's own first version is made of what it began as, which the object store has to have until then. */
function hasOwnVersion({ policy, published }: SandboxRecord): boolean {
  return policy.syncTo !== null && published?.workspaceId === policy.syncTo.workspaceId;
}
