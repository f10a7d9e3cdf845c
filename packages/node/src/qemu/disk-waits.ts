/**
 * What becomes of a guest that QEMU has stopped because a request to its disk cannot be carried out now: it is let go on each
 * second, and its request is tried again.
 */
import { AppError } from "@mags/core";

export interface DiskWaits {
  /** QEMU has stopped the guest for a request: `read`, `write` or another. */
  found(operation: unknown): void;
  /** We have paused the guest. What QEMU says of a request may come later, and does not resume it. */
  hold(): void;
  /** We resume it. */
  letGo(): void;
  /** Called once a shortage, when a write waits. */
  onWrite(listener: () => void): void;
  /** Aborted while a write waits, and for some seconds after its last try; another one from then on. */
  readonly stuck: AbortSignal;
  /** The guest is gone. */
  end(): void;
}

const RETRY_MS = 1_000;
/** A write goes on when no try has failed for so long. */
const STUCK_MS = 5_000;
/** A shortage is over when no try has failed for so long. */
const SHORTAGE_OVER_MS = 30_000;

/** @param tryAgain  Has QEMU try what waits, and the guest go on. */
export function createDiskWaits(tryAgain: () => void): DiskWaits {
  const onWrite: (() => void)[] = [];
  let held = false;
  let stuck = new AbortController();
  let unstick: NodeJS.Timeout | undefined;
  /** Runs while there is a shortage that was told of. */
  let shortage: NodeJS.Timeout | undefined;
  let retry: NodeJS.Timeout | undefined;

  function waitOn(): void {
    clearTimeout(unstick);
    if (held || !stuck.signal.aborted) return;
    unstick = setTimeout(() => {
      stuck = new AbortController();
    }, STUCK_MS);
  }

  function foundWrite(): void {
    stuck.abort(new AppError("unavailable", "a write of the guest waits"));
    waitOn();
    if (onWrite.length === 0) return;
    if (!shortage) for (const listener of onWrite) listener();
    clearTimeout(shortage);
    shortage = setTimeout(() => {
      shortage = undefined;
    }, SHORTAGE_OVER_MS);
  }

  return {
    found(operation) {
      if (operation !== "read") foundWrite();
      if (held) return;
      retry ??= setTimeout(() => {
        retry = undefined;
        tryAgain();
      }, RETRY_MS);
    },
    hold() {
      held = true;
      clearTimeout(retry);
      retry = undefined;
      waitOn();
    },
    letGo() {
      held = false;
      waitOn();
    },
    onWrite: (listener) => void onWrite.push(listener),
    get stuck() {
      return stuck.signal;
    },
    end() {
      for (const timer of [retry, unstick, shortage]) clearTimeout(timer);
    },
  };
}
