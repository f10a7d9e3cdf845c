/** Gives a sandbox its microVM, and takes it away: wakes it, and sees that it is lost. */
import { AppError, messageOf, untilAborted } from "@mags/core";
import type { WakeReason } from "@mags/domain";
import { untilDone } from "../host/until-done.ts";
import type { MicroVm } from "../microvm/microvm-host.ts";
import { tryMakeSyncedFolder } from "./change-policy.ts";
import type { Growth } from "./growth.ts";
import type { IdleWatch } from "./idle-watch.ts";
import { asleepWithout, makeAwake, makeReady } from "./make-awake.ts";
import type { RoomWatch } from "./room-watch.ts";
import type { Awake, SandboxDeps } from "./sandbox-deps.ts";
import type { SandboxLife } from "./sandbox-life.ts";
import { runStartupCommand } from "./wake.ts";

export interface Waking {
  /** Wakes it, in its turn; whoever asks meanwhile waits for the same wake. */
  awaken(reason: WakeReason): Promise<void>;
  /**
   * The same for a caller that has the turn. Nothing happens to one that is awake.
   * @param options.warmOnly  It fails rather than wake without its memory. Default: false.
   */
  wakeUp(reason: WakeReason, options?: { readonly warmOnly?: boolean }): Promise<void>;
  /** Removes a microVM that it has no more. */
  releaseMicroVm(awake: Awake): Promise<void>;
  /** It was found without its microVM: `reason` is for people. */
  tellLost(reason: string): void;
}

/** For memory of the host. */
const ROOM_MS = 60_000;
const REVIVAL = { firstMs: 1_000, longestMs: 60_000 };

export interface WakingParts {
  readonly idle: Pick<IdleWatch, "begin">;
  readonly growth: Pick<Growth, "now">;
  readonly room: Pick<RoomWatch, "begin">;
  /** Gives back the memory that its microVM takes. */
  readonly giveBack: () => void;
}

export function createWaking(
  deps: SandboxDeps,
  life: SandboxLife,
  { idle, growth, room, ...options }: WakingParts,
): Waking {
  const { host, guests, egress, egressWatch, clock, log } = deps;
  const { id, kept, tell } = life;
  let { giveBack } = options;
  let underWay: Promise<void> | undefined;
  /** Whose events tell what the microVM was denied. */
  let watchedJobId = kept.now.lastJobId;

  function watch(microVm: MicroVm): void {
    room.begin(microVm);
    void microVm.lost.then((reason) => life.inTurn(() => lose(microVm, reason)));
  }

  async function releaseMicroVm({ microVm, agent }: Awake): Promise<void> {
    await agent[Symbol.asyncDispose]();
    const watched = watchedJobId;
    const lastLook = async () => {
      await egressWatch.end(watched);
      egress.forget(microVm.index);
    };
    try {
      await host.release(microVm, { lastLook });
    } finally {
      giveBack();
    }
  }

  async function lose(microVm: MicroVm, reason: string): Promise<void> {
    if (life.awake?.microVm !== microVm || life.closing.aborted) return;
    const lost = life.awake;
    await life.underOnePolicy(async () => {
      life.awake = null;
    });
    guests.ended(id, reason);
    const written = life.write({ asleep: asleepWithout(deps, kept.now, `the VM was lost: ${reason}`) });
    const failed = (error: unknown) => log.error("sandbox.loss_failed", { sandboxId: id, error: messageOf(error) });
    await written.catch(failed); // the next start finds no such microVM, and says the same
    await releaseMicroVm(lost).catch(failed);
    tellLost(reason);
  }

  function tellLost(reason: string): void {
    tell("vm_lost", { reason });
    if (kept.now.policy.alwaysOn) revive();
  }

  function revive(): void {
    const work = async () => {
      if (!life.gone && !life.awake && kept.now.policy.alwaysOn) await awaken("no_sleep");
    };
    // Each failure is told of by the wake.
    void untilDone(work, { ...REVIVAL, onFailure: () => {}, signal: life.closing });
  }

  async function wakeUp(reason: WakeReason, { warmOnly = false } = {}): Promise<void> {
    if (life.awake) return;
    const begunMs = clock.monotonicMs();
    await makeReady(deps, kept.now).catch(() => {}); // the wake meets it again, and tells of it
    const patience = AbortSignal.any([AbortSignal.timeout(ROOM_MS), life.givenUp]);
    const back = await deps.capacity.reserve(kept.now.size.memoryMiB, { signal: patience }).catch((cause: unknown) => {
      life.givenUp.throwIfAborted();
      const message = `the host has no memory for the sandbox now: ${kept.now.size.memoryMiB} MiB; try again later`;
      throw new AppError("capacity_exhausted", message, { cause, retryAfterSeconds: 10 });
    });
    const leaveGate = await deps.gate.enter();
    try {
      const { microVm, agent, coldBecause } = await life.underOnePolicy(async () => {
        const woken = await makeAwake(deps, {
          record: () => kept.now,
          write: life.write,
          onFailure: (failure) => tell("wake_failed", { reason: failure }),
          warmOnly,
          onCold(why) {
            guests.ended(id, why);
            if (warmOnly) tellLost(why);
          },
          onCommit: leaveGate, // what the guest does from here on, others need not wait for
          signal: life.givenUp,
        });
        giveBack = back;
        life.awake = { microVm: woken.microVm, agent: woken.agent };
        return woken;
      });
      idle.begin();
      watch(microVm);
      guests.connected({ id, agent, gone: microVm.gone });
      watchedJobId = kept.now.lastJobId;
      egressWatch.begin(watchedJobId, microVm.index);
      const kind = coldBecause === null ? "warm" : "cold";
      const durationMs = Math.round(clock.monotonicMs() - begunMs);
      tell("woke", { reason, kind, durationMs, ...(coldBecause !== null && { coldBecause }) });
      // It is there but for one that was promoted while it slept. A disk that waits for the object store holds no wake up.
      if (kept.now.policy.syncTo) void tryMakeSyncedFolder(deps, life, { microVm, agent });
      await growth.now().catch(() => {}); // it was told of, and is tried again
      if (coldBecause !== null) void startUp({ microVm, agent });
    } catch (error) {
      if (giveBack !== back) back();
      throw error;
    } finally {
      leaveGate();
    }
  }

  /** Whoever woke it does not wait for it: a guest's programs may take as long as they like. */
  async function startUp({ microVm, agent }: Awake): Promise<void> {
    const { policy, environment } = kept.now;
    if (policy.startupCommand === null) return;
    await untilAborted(runStartupCommand(agent, policy.startupCommand, environment), microVm.gone).catch(
      (error: unknown) => {
        if (!life.gone && life.awake?.microVm === microVm) tell("startup_failed", { reason: messageOf(error) });
      },
    );
  }

  function awaken(reason: WakeReason): Promise<void> {
    underWay ??= life
      .inTurn(() => wakeUp(reason))
      .finally(() => {
        underWay = undefined;
      });
    return underWay;
  }

  if (life.awake) watch(life.awake.microVm);

  return { awaken, wakeUp, releaseMicroVm, tellLost };
}
