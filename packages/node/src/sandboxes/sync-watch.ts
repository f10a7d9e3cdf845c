/** Publishes a synced sandbox every half minute when it has changed, and knows how its syncs go. */
import { type Clock, firstFailure, isAppError, type Logger, messageOf } from "@mags/core";
import type { ObservedSync, RunningSync, SyncReason, WorkspaceVersion } from "@mags/domain";
import type { PublishOptions, PublishResult } from "./publish.ts";
import type { SandboxRecord } from "./sandbox-record.ts";

export interface SyncWatch {
  /** Null: its disk is local. */
  observe(): ObservedSync | null;
  tick(): void;
  /** Bytes that changed since what was published last, as far as is known. */
  behindBytes(): Promise<number>;
  /** The same when the guest has written it to its disk, if it answers. What fails is told of as of a publication. */
  writeOut(options: { readonly signal: AbortSignal }): Promise<number>;
  /** Publishes now; told of as it is. Its caller has the sandbox's turn. */
  publish(options: Omit<PublishOptions, "onProgress">): Promise<WorkspaceVersion>;
}

export interface SyncWatched {
  readonly record: () => SandboxRecord;
  readonly isAwake: () => boolean;
  /** Its state is about to be another: nothing is begun now. */
  readonly isChanging: () => boolean;
  /** The server stops, or the sandbox has ended: what was under way is cut off, and has not failed. */
  readonly isGivenUp: () => boolean;
  /** Publishes in the sandbox's turn. */
  readonly begin: (reason: SyncReason) => Promise<unknown>;
  readonly publish: (options: PublishOptions) => Promise<PublishResult>;
  readonly behindBytes: () => Promise<number>;
  readonly writeOut: (options: { readonly signal: AbortSignal }) => Promise<number>;
  readonly tell: (name: string, data: Readonly<Record<string, unknown>>) => void;
}

const EVERY_MS = 30_000;
/** After an outage a sync comes no later than this. */
const LONGEST_PAUSE_MS = 60_000;

export function createSyncWatch(
  { clock, log }: { readonly clock: Clock; readonly log: Logger },
  watched: SyncWatched,
): SyncWatch {
  let dueAtMs = clock.bootMs() + EVERY_MS;
  let pauseMs = EVERY_MS;
  let failure: string | null = null;
  /** Another writes the workspace. That was told of; it is tried again now and then. */
  let lost = false;
  let behindBytes = 0;
  let running: RunningSync | null = null;
  const onProgress = (now: RunningSync | null) => {
    running = now;
  };

  function failed(error: unknown): void {
    const reason = messageOf(error);
    const first = firstFailure(error);
    const isLost = isAppError(first, "lease_lost") || isAppError(first, "lease_held");
    log.warn("sandbox.sync_failed", { sandboxId: watched.record().id, error: reason });
    if (isLost && !lost) watched.tell("sync_lost", { reason });
    else if (failure === null) watched.tell("sync_failed", { reason });
    lost ||= isLost;
    failure = reason;
    watched.behindBytes().then(
      (bytes) => {
        if (failure !== null) behindBytes = bytes;
      },
      () => {}, // its QEMU has gone, which others see, too
    );
    // Somebody makes room, and finds it synced soon.
    pauseMs = isAppError(first, "disk_full") ? EVERY_MS : Math.min(2 * pauseMs, LONGEST_PAUSE_MS);
  }

  return {
    observe() {
      const { policy, published, asleep } = watched.record();
      if (!policy.syncTo) return null;
      const own = published?.workspaceId === policy.syncTo.workspaceId ? published : null;
      const behind = asleep?.behind ?? { bytes: behindBytes, reason: failure };
      return {
        ...{ version: own?.info ?? null, syncedAtMs: own?.atMs ?? null },
        ...{ behindBytes: Math.max(behind.bytes, running?.totalBytes ?? 0), failure: behind.reason },
        running,
      };
    },
    behindBytes: () => watched.behindBytes().catch(() => behindBytes), // its QEMU has gone, which others see, too
    writeOut: (options) =>
      watched.writeOut(options).catch((error: unknown) => {
        if (!watched.isGivenUp()) failed(error);
        throw error;
      }),
    tick() {
      if (!watched.record().policy.syncTo || !watched.isAwake() || watched.isChanging()) return;
      if (clock.bootMs() < dueAtMs) return;
      dueAtMs = clock.bootMs() + pauseMs;
      watched.begin("interval").catch(() => {}); // it was told of
    },
    async publish(options) {
      const begunMs = clock.monotonicMs();
      try {
        const { version, missing, done } = await watched.publish({ ...options, onProgress });
        failure = null;
        lost = false;
        behindBytes = 0;
        pauseMs = EVERY_MS;
        if (missing !== null) watched.tell("sync_compared", { reason: missing });
        if (done) {
          const durationMs = Math.round(clock.monotonicMs() - begunMs);
          watched.tell("synced", { version, ...done, reason: version.reason, durationMs });
        }
        return version;
      } catch (error) {
        if (!watched.isGivenUp()) failed(error);
        throw error;
      } finally {
        dueAtMs = clock.bootMs() + pauseMs;
      }
    },
  };
}
