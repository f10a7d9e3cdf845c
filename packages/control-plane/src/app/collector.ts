/** Has the node remove from the object store what no workspace needs any more, and removes what is old in the database, on a timer. */
import { type Clock, type LogFields, type Logger, messageOf, sleep } from "@mags/core";
import type { AccountId, CollectedGarbage, NodeRuntime } from "@mags/domain";
import type { AuditStore } from "./audit-store.ts";
import { type ExpireUrlsDeps, expireUrls } from "./expire-urls.ts";
import type { WorkspaceRecords } from "./workspace-records.ts";

export interface CollectorDeps extends ExpireUrlsDeps {
  readonly workspaces: WorkspaceRecords;
  readonly auditStore: Pick<AuditStore, "removeBefore">;
  readonly auditKeepDays: number;
  readonly node: NodeRuntime;
  readonly clock: Clock;
  readonly log: Logger;
  /** Told after each run. */
  readonly onRun: (run: CollectorRun) => void;
}

const DAY_MS = 86_400_000;
/** Of a statement, so that none takes long. */
const MOST_REMOVED = 5_000;

export interface CollectorRun {
  /** All accounts were looked at, and all that was to be read could be. */
  readonly ok: boolean;
  readonly removedBytes: number;
  /** Objects that are garbage and not yet for long enough. */
  readonly waiting: number;
}

type Sum = { -readonly [Field in keyof CollectorRun]: CollectorRun[Field] };

export interface Collector extends AsyncDisposable {
  /** Runs once, now; never rejects. */
  run(): Promise<CollectorRun>;
  /** Begins to run, first after `firstMs`, then every `intervalMs`. */
  begin(options: { readonly firstMs: number; readonly intervalMs: number }): void;
}

export function createCollector(deps: CollectorDeps): Collector {
  const { workspaces, auditStore, auditKeepDays, node, clock, log, onRun } = deps;
  const closing = new AbortController();
  const { signal } = closing;
  let loop: Promise<void> = Promise.resolve();

  async function collect(what: LogFields, work: () => Promise<CollectedGarbage>, sum: Sum): Promise<void> {
    const begunMs = clock.monotonicMs();
    try {
      const result = await work();
      log.info("workspaces.collected", { ...what, ...result, durationMs: clock.monotonicMs() - begunMs });
      sum.removedBytes += result.removedBytes;
      sum.waiting += result.waiting;
      sum.ok &&= result.unreadable === 0;
    } catch (error) {
      if (signal.aborted) throw error;
      sum.ok = false;
      log.warn("workspaces.not_collected", { ...what, error: messageOf(error) });
    }
  }

  /** What was compacted is opened as that from now on; until it is recorded, the version before it is pinned. */
  async function collectAccount(accountId: AccountId): Promise<CollectedGarbage> {
    // Pins are read when the node asks, after it looked at the store: who opened a version since is among them.
    const { compacted, ...counts } = await node.collectGarbage(accountId, { pinned: workspaces.pins, signal });
    for (const { workspaceId, version } of compacted) await workspaces.recordCompaction(workspaceId, version);
    return counts;
  }

  async function collectAll(): Promise<CollectorRun> {
    const sum: Sum = { ok: true, removedBytes: 0, waiting: 0 };
    for (const accountId of await workspaces.accounts())
      await collect({ accountId }, () => collectAccount(accountId), sum);
    await collect({ images: true }, () => node.collectImages({ signal }), sum);
    return sum;
  }

  async function removeOldEntries(): Promise<void> {
    const before = new Date(clock.now().getTime() - auditKeepDays * DAY_MS);
    while (!signal.aborted && (await auditStore.removeBefore(before, { most: MOST_REMOVED })) === MOST_REMOVED);
  }

  async function run(): Promise<CollectorRun> {
    await expireUrls(deps, { signal }).catch((error: unknown) => {
      log.warn("url.not_expired", { error: messageOf(error) });
    });
    await removeOldEntries().catch((error: unknown) => {
      log.warn("audit.not_expired", { error: messageOf(error) });
    });
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
