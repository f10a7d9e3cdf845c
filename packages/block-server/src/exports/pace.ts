import { sleep } from "@mags/core";

/** Work in the background of all who share it: together not faster than they say. */
export interface Pace {
  /** Resolves when so many bytes more may be moved. First come, first served. */
  take(bytes: number, options: { readonly bytesPerSecond: number; readonly signal: AbortSignal }): Promise<void>;
}

export function createPace(): Pace {
  /** What was let through before takes until then. */
  let freeAtMs = 0;
  return {
    async take(bytes, { bytesPerSecond, signal }) {
      const nowMs = performance.now();
      const beginMs = Math.max(nowMs, freeAtMs);
      freeAtMs = beginMs + (bytes / bytesPerSecond) * 1000;
      if (beginMs > nowMs) await sleep(beginMs - nowMs, { signal });
    },
  };
}
