/**
 * When a sandbox is idle. It is busy while calls are under way or a script runs that keeps it awake, and from each sign of
 * work on it is not idle for a while. Signs are what somebody did in it, output of its scripts, and processor time of its
 * programs; an open connection that carries nothing is none. Clocks are given in, in milliseconds, and never stepped.
 */
import type { IdlePolicy } from "@mags/domain";

/** More of one processor than this, over the window, is work. */
export const BUSY_SHARE = 0.05;
export const WINDOW_MS = 60_000;

export interface Idleness {
  /** A sign of work. */
  touch(nowMs: number): void;
  /** Processor time of the guest's programs since its boot. Counts from the second time on; `restart` after a wake. */
  cpu(userMs: number, nowMs: number): void;
  restart(nowMs: number): void;
  /** How long nothing was done. */
  idleMs(nowMs: number): number;
  isDue(policy: IdlePolicy, nowMs: number): boolean;
}

export function createIdleness(nowMs: number): Idleness {
  let lastMs = nowMs;
  let samples: { readonly atMs: number; readonly userMs: number }[] = [];

  return {
    touch(now) {
      lastMs = Math.max(lastMs, now);
    },
    cpu(userMs, now) {
      samples.push({ atMs: now, userMs });
      // The oldest that is kept is the last one before the window.
      while (samples[1] && samples[1].atMs <= now - WINDOW_MS) samples.shift();
      const [first] = samples;
      if (!first || first.atMs === now) return;
      // Over the whole window also while less of it was seen: a short burst is no work of a minute.
      const share = (userMs - first.userMs) / Math.max(WINDOW_MS, now - first.atMs);
      if (share > BUSY_SHARE) lastMs = Math.max(lastMs, now);
    },
    restart(now) {
      samples = [];
      lastMs = now;
    },
    idleMs: (now) => now - lastMs,
    isDue: ({ action, afterMs }, now) => action !== "none" && now - lastMs >= afterMs,
  };
}
