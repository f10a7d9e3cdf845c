import { readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { type Clock, type Logger, messageOf } from "@mags/core";
import type { JobId } from "@mags/domain";

const LOOK_EVERY_MS = 60 * 60_000;
const DAY_MS = 24 * 60 * 60_000;

/** Deletes the output of jobs that ended long ago, now and every hour. Disposing stops it. */
export function startRetention(
  directory: string,
  deps: { readonly clock: Clock; readonly log: Logger; readonly isLive: (jobId: JobId) => boolean },
  options: { readonly days: number },
): Disposable {
  async function sweep(): Promise<void> {
    try {
      const removed = await removeOldLogs(directory, deps, options);
      if (removed > 0) deps.log.info("logs.removed", { removed, olderThanDays: options.days });
    } catch (error) {
      deps.log.error("logs.retention_failed", { error: messageOf(error) });
    }
  }
  void sweep();
  const timer = setInterval(() => void sweep(), LOOK_EVERY_MS);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

/** @returns how many files it deleted. */
export async function removeOldLogs(
  directory: string,
  deps: { readonly clock: Clock; readonly isLive: (jobId: JobId) => boolean },
  options: { readonly days: number },
): Promise<number> {
  const oldestMs = deps.clock.now().getTime() - options.days * DAY_MS;
  let removed = 0;
  for (const shard of await readdir(directory)) {
    for (const name of await readdir(join(directory, shard))) {
      const path = join(directory, shard, name);
      const jobId = name.replace(/\.log$/, "") as JobId;
      if (deps.isLive(jobId) || (await stat(path)).mtimeMs >= oldestMs) continue;
      await rm(path);
      removed++;
    }
  }
  return removed;
}
