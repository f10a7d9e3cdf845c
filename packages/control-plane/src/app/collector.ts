/** Has the node remove from the object store what no workspace needs any more, on a timer. */
import { type Clock, type Logger, messageOf, sleep } from "@mags/core";
import type { AccountId, NodeRuntime } from "@mags/domain";
import type { WorkspaceRecords } from "./workspace-records.ts";

export interface CollectorDeps {
  readonly workspaces: WorkspaceRecords;
  readonly node: NodeRuntime;
  readonly clock: Clock;
  readonly log: Logger;
  /** Told after each run. */
  readonly onRun: (run: CollectorRun) => void;
}

export interface CollectorRun {
  /** All accounts were looked at, and all that was to be read could be. */
  readonly ok: boolean;
  readonly removedBytes: number;
  /** Objects that are garbage and not yet for long enough. */
  readonly waiting: number;
}

export interface Collector extends AsyncDisposable {
  /** Runs once, now; never rejects. */
  run(): Promise<CollectorRun>;
  /** Begins to run, first after `firstMs`, then every `intervalMs`. */
  begin(options: { readonly firstMs: number; readonly intervalMs: number }): void;
}

export function createCollector({ workspaces, node, clock, log, onRun }: CollectorDeps): Collector {
  const closing = new AbortController();
  const { signal } = closing;
  let loop: Promise<void> = Promise.resolve();

  /** Pins are read when the node asks, after it looked at the store: who opened a version since is among them. */
  async function collect(accountId: AccountId) {
    const begunMs = clock.monotonicMs();
    const result = await node.collectGarbage(accountId, { pinned: workspaces.pins, signal });
    log.info("workspaces.collected", { accountId, ...result, durationMs: clock.monotonicMs() - begunMs });
    return result;
  }

  async function collectAll(): Promise<CollectorRun> {
    let [ok, removedBytes, waiting] = [true, 0, 0];
    for (const accountId of await workspaces.accounts()) {
      try {
        const result = await collect(accountId);
        removedBytes += result.removedBytes;
        waiting += result.waiting;
        ok &&= result.unreadable === 0;
      } catch (error) {
        if (signal.aborted) throw error;
        ok = false;
        log.warn("workspaces.not_collected", { accountId, error: messageOf(error) });
      }
    }
    return { ok, removedBytes, waiting };
  }

  async function run(): Promise<CollectorRun> {
    const result = await collectAll().catch((error: unknown) => {
      if (!signal.aborted) log.warn("workspaces.not_collected", { error: messageOf(error) });
      return { ok: false, removedBytes: 0, waiting: 0 };
    });
    if (!signal.aborted) onRun(result);
    return result;
  }

  async function runForever(firstMs: number, intervalMs: number): Promise<void> {
    for (let pauseMs = firstMs; ; pauseMs = intervalMs) {
      await sleep(pauseMs, { signal }).catch(() => {});
      if (signal.aborted) return;
      await run();
    }
  }

  return {
    run,
    begin({ firstMs, intervalMs }) {
      loop = runForever(firstMs, intervalMs);
    },
    async [Symbol.asyncDispose]() {
      closing.abort();
      await loop;
    },
  };
}
