/** Has a guest bring what it wrote to its disk, and holds it still for the moment in which a view of that is taken. */
import { isAppError, messageOf, withDeadline } from "@mags/core";
import type { GuestFailure } from "../agent/index.ts";
import { diskWrites } from "../qemu/disk-writes.ts";
import { unlessNoRoom } from "./room.ts";
import type { Awake, SandboxDeps } from "./sandbox-deps.ts";

const SYNC_ROUNDS = 4;
const MIB = 1024 ** 2;
/** So much may be on the disk that its file system does not use any more. A trim is never free: the agent does nothing else meanwhile. */
export const STALE_BYTES = { whileRunning: 32 * MIB, atLast: 4 * MIB } as const;
const SYNC_MS = 30_000;
const FREEZE_MS = 5_000;
/** The guest thaws by itself after so long, whatever becomes of the host. */
const WATCHDOG_MS = 10_000;
/** The file system notes that it is in use again. With more, the guest has written something meanwhile. */
const THAW_WRITES = 1;

export interface Hold extends AsyncDisposable {
  /** Has the guest's file system whole on its disk and still while the view is taken. @throws as `writeOut`, and what `take` throws. */
  readonly atMoment: (take: () => Promise<void>) => Promise<void>;
  /**
   * Has the guest bring what it wrote to its disk, and discard there what it does not use any more, when that may be so much.
   * @returns false when it does not answer. @throws AppError `disk_full` when there is no room for it.
   */
  writeOut(options: { readonly staleBytes: number }): Promise<boolean>;
  /** A guest that is paused stays so when this is disposed. */
  keep(): void;
  readonly stallMs: number;
  /** What QEMU had counted when the guest went on; -1 when it has written something since the view. */
  readonly writes: number;
}

/**
 * A guest that does not answer is not waited for: its disk is published as a power cut would leave it.
 * @param options.hold  The guest is left paused after the moment.
 */
export function createHold(
  deps: Pick<SandboxDeps, "clock" | "log" | "dataDirectory">,
  { microVm, agent }: Awake,
  { hold }: { readonly hold: boolean },
): Hold {
  const { clock, log } = deps;
  let paused = false;
  let frozen = false;
  let stallMs = 0;
  let writes = -1;
  const late = () => new Error("no answer");

  /** @returns whether it did what was asked. */
  async function did(what: string, ask: () => Promise<unknown>, deadlineMs: number): Promise<boolean> {
    try {
      await unlessNoRoom(deps, microVm, () => withDeadline(ask(), deadlineMs, late));
      return true;
    } catch (error) {
      if (isAppError(error, "disk_full")) throw error;
      log.info(what, { microVmId: microVm.id, error: messageOf(error) });
      return false;
    }
  }

  /** Who froze it was given up, as the guest did not answer in time. */
  async function thawFirst(error: unknown, sync: () => Promise<unknown>): Promise<void> {
    if (!isAppError(error) || (error.details.failure as GuestFailure | undefined)?.code !== "EBUSY") throw error;
    await agent.thaw({ deadlineMs: FREEZE_MS });
    await sync();
  }

  async function thaw(): Promise<void> {
    if (!frozen) return;
    frozen = false;
    await agent
      .thaw({ deadlineMs: FREEZE_MS })
      .catch((error: unknown) => log.info("sandbox.not_thawed", { microVmId: microVm.id, error: messageOf(error) })); // it does so by itself
  }

  async function pause(): Promise<void> {
    await microVm.machine.pause();
    paused = true;
  }

  return {
    writeOut({ staleBytes }) {
      const sync = () => agent.sync({ rounds: SYNC_ROUNDS, trimStaleBytes: staleBytes }, { deadlineMs: SYNC_MS });
      return did("sandbox.not_synced", () => sync().catch((error: unknown) => thawFirst(error, sync)), SYNC_MS);
    },
    get stallMs() {
      return stallMs;
    },
    get writes() {
      return writes;
    },
    async atMoment(take) {
      const beganMs = clock.monotonicMs();
      const freeze = () => agent.freeze({ watchdogMs: WATCHDOG_MS }, { deadlineMs: FREEZE_MS });
      frozen = await did("sandbox.not_frozen", freeze, FREEZE_MS);
      const before = frozen ? await diskWrites(microVm.machine.qmp) : Number.NaN;
      try {
        if (hold) await pause();
        await take();
      } finally {
        if (!hold) await thaw();
        const after = await diskWrites(microVm.machine.qmp).catch(() => Number.NaN); // QEMU has gone, which others see, too
        writes = after - before <= THAW_WRITES ? after : -1;
        stallMs = Math.round((clock.monotonicMs() - beganMs) * 10) / 10;
      }
    },
    keep() {
      paused = false;
      frozen = false;
    },
    async [Symbol.asyncDispose]() {
      if (paused) await microVm.machine.resume();
      paused = false;
      await thaw();
    },
  };
}
