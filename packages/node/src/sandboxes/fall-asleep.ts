/** Puts a sandbox to sleep: its guest gives up memory, what it wrote is published, its memory goes into a file. */
import { messageOf, withDeadline } from "@mags/core";
import type { SleepReason } from "@mags/domain";
import { untilEnded } from "../host/processes.ts";
import { STALE_BYTES } from "./hold.ts";
import { storedBytes } from "./memory-file.ts";
import { unlessNoRoom } from "./room.ts";
import type { Awake, SandboxDeps } from "./sandbox-deps.ts";
import type { SandboxLife } from "./sandbox-life.ts";
import type { Behind } from "./sandbox-record.ts";
import { sleepOnDisk } from "./save.ts";
import type { SyncWatch } from "./sync-watch.ts";

const RECLAIM_MS = 15_000;
const TRIM_MS = 15_000;
const QUIT_MS = 3_000;
const SLEEP_SYNC_MS = 30_000;

export interface SleepParts {
  readonly syncs: Pick<SyncWatch, "publish" | "behindBytes">;
  /** It is not idle after all. */
  readonly touch: () => void;
  readonly releaseMicroVm: (awake: Awake) => Promise<void>;
}

/** Its caller has the turn. @throws AppError `unavailable` when its memory cannot be kept: it runs on. */
export async function fallAsleep(
  deps: SandboxDeps,
  life: SandboxLife,
  { reason, awake, syncs, touch, releaseMicroVm }: SleepParts & { readonly reason: SleepReason; readonly awake: Awake },
): Promise<void> {
  const { store, guests, clock, log } = deps;
  const { id, kept, tell } = life;
  const { microVm, agent } = awake;
  const begunMs = clock.monotonicMs();
  const late = () => new Error("no answer");
  const trimming = { rounds: 1, trimStaleBytes: STALE_BYTES.atLast };
  // A guest that hangs sleeps all the same, with more disk and memory than it needs.
  const giveBack = () =>
    withDeadline(agent.sync(trimming, { deadlineMs: TRIM_MS }), TRIM_MS, late).then(() =>
      withDeadline(agent.reclaim({ deadlineMs: RECLAIM_MS }), RECLAIM_MS, late),
    );
  await unlessNoRoom(deps, microVm, giveBack).catch((error: unknown) =>
    log.info("sandbox.not_reclaimed", { sandboxId: id, error: messageOf(error) }),
  );
  if (reason !== "requested" && life.waiting() > 0) return touch(); // somebody wants it
  const behind = kept.now.policy.syncTo ? await publishLast(syncs) : null;
  try {
    await life.underOnePolicy(async () => {
      const synced = kept.now.policy.syncTo !== null && behind === null;
      await sleepOnDisk(deps, kept, awake, { reason, synced, behind });
      life.awake = null;
    });
  } catch (error) {
    touch();
    tell("sleep_failed", { reason: messageOf(error) });
    throw error;
  }
  guests.suspended(id);
  await microVm.machine.quit();
  await untilEnded(microVm.process, QUIT_MS);
  // It sleeps whatever is left of its microVM, which is tried to be removed again.
  await releaseMicroVm(awake).catch((error: unknown) =>
    log.error("sandbox.microvm_not_removed", { sandboxId: id, error: messageOf(error) }),
  );
  const durationMs = Math.round(clock.monotonicMs() - begunMs);
  tell("slept", { reason, durationMs, memoryBytes: await storedBytes(store.placeOf(id).memory) });
}

/** What cannot be published now is so when the store is there again. @returns null when all of it is. */
async function publishLast(syncs: SleepParts["syncs"]): Promise<Behind | null> {
  try {
    await syncs.publish({ reason: "sleep", hold: true, signal: AbortSignal.timeout(SLEEP_SYNC_MS) });
    return null;
  } catch (error) {
    return { bytes: await syncs.behindBytes(), reason: messageOf(error) };
  }
}
