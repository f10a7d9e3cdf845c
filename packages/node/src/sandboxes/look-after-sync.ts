/** Looks after a sync that is under way: how far it is, and that what the guest overwrites meanwhile stays within bounds. */
import { AppError, sleep } from "@mags/core";
import type { RunningSync, SyncTarget } from "@mags/domain";
import type { Blocks } from "../workspaces/blocks.ts";
import { storedBytes } from "./memory-file.ts";

const LOOK_MS = 1_000;
const ANSWER_MS = 5_000;
const MIB = 1024 ** 2;
/** A view is given up when it takes more of the host's disk than that. */
const MOST_SCRATCH_BYTES = 16 * 1024 ** 3;

/** Half of the disk: with more than that it is as well copied anew. */
export const scratchLimit = (diskBytes: number): number => Math.min(diskBytes / 2, MOST_SCRATCH_BYTES);

export interface LookedAfter {
  readonly target: SyncTarget;
  /** The file in which QEMU keeps what the guest overwrites. */
  readonly scratch: string;
  readonly mostScratchBytes: number;
  /** Told each second; null when it is over. */
  readonly onProgress: (running: RunningSync | null) => void;
  readonly signal: AbortSignal;
}

/** @throws what `sync` throws; AppError `unavailable` when the guest overwrites more than there is room for. */
export async function lookAfterSync<T>(
  { blocks }: { readonly blocks: Pick<Blocks, "call"> },
  { target, scratch, mostScratchBytes, onProgress, signal }: LookedAfter,
  sync: (options: { readonly signal: AbortSignal }) => Promise<T>,
): Promise<T> {
  const over = new AbortController();
  const broken = new AbortController();
  const key = { account: target.accountId, workspace: target.workspaceId };

  async function look(): Promise<void> {
    if ((await storedBytes(scratch)) > mostScratchBytes)
      broken.abort(
        new AppError(
          "unavailable",
          `the guest overwrote more than ${Math.round(mostScratchBytes / MIB)} MiB of its disk while it was being published, which the object store takes too slowly: it is tried again`,
        ),
      );
    const running = await blocks.call("progress", key, {
      signal: AbortSignal.any([AbortSignal.timeout(ANSWER_MS), over.signal]),
    });
    if (running && !over.signal.aborted) onProgress(running);
  }

  async function lookOn(): Promise<void> {
    while (!over.signal.aborted && !broken.signal.aborted) {
      await sleep(LOOK_MS, { signal: over.signal }).catch(() => {}); // it is over
      if (!over.signal.aborted) await look().catch(() => {}); // the sync itself says what is wrong
    }
  }

  const looking = lookOn();
  try {
    return await sync({ signal: AbortSignal.any([signal, broken.signal]) });
  } finally {
    over.abort(new Error("the sync is over"));
    await looking;
    onProgress(null);
  }
}
