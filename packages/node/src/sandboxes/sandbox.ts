/**
 * One sandbox. States: awake (a microVM with a connected agent), asleep (a disk, and maybe a memory), gone. One change of
 * state or disk at a time; whoever wants to work in it waits for that, then wakes it. Invariants:
 * - Its record says `asleep` with a memory only when that is whole, on stable storage, and nothing ran since it was written.
 * - A memory is used once: the record says awake before the first instruction after it.
 * - Whatever fails, the disk stays, until `release`.
 */
import type { Damage } from "@mags/block-server";
import { AppError, diskFullError, untilAborted } from "@mags/core";
import type {
  JobId,
  ObservedSandbox,
  SandboxId,
  SandboxPolicy,
  SleepReason,
  SyncReason,
  WakeReason,
  WorkspaceVersion,
} from "@mags/domain";
import type { GuestHandle } from "../guests/guests.ts";
import { damageData } from "../workspaces/damage-data.ts";
import { createHydration } from "../workspaces/hydration.ts";
import { createCatchUp } from "./catch-up.ts";
import { changePolicy } from "./change-policy.ts";
import { fallAsleep } from "./fall-asleep.ts";
import { createGrowth } from "./growth.ts";
import { createIdleWatch, type IdleWatch } from "./idle-watch.ts";
import { isBehind } from "./last-sync.ts";
import { createPublisher } from "./publish.ts";
import { createRelease } from "./release.ts";
import { waitsForRoom } from "./room.ts";
import { createRoomWatch } from "./room-watch.ts";
import type { Awake, SandboxDeps } from "./sandbox-deps.ts";
import { createSandboxLife, type SandboxState } from "./sandbox-life.ts";
import type { SandboxRecord, ScriptRecord } from "./sandbox-record.ts";
import { createSyncWatch } from "./sync-watch.ts";
import { misfitOf } from "./wake.ts";
import { createWaking } from "./waking.ts";
import { whileAwake } from "./while-awake.ts";

export interface Sandbox extends GuestHandle, Pick<IdleWatch, "sampleCpu"> {
  readonly id: SandboxId;
  readonly record: SandboxRecord;
  readonly awake: Awake | null;
  observe(): ObservedSandbox;
  /** Publishes what has changed; wakes it when something has since it fell asleep. Once begun it goes on when its caller has gone. */
  sync(reason: SyncReason, options: { readonly signal: AbortSignal }): Promise<WorkspaceVersion>;
  /** @throws AppError `sandbox_busy` while calls are under way. */
  sleep(reason: SleepReason): Promise<void>;
  wake(reason: WakeReason, options: { readonly signal: AbortSignal }): Promise<void>;
  grow(diskGiB: number): Promise<void>;
  setPolicy(policy: SandboxPolicy): Promise<void>;
  /**
   * Ends its microVM, and all that runs in it; removes its disk. May be repeated when it failed. What has changed of a synced
   * one is published before, unless it is to be discarded. @throws AppError when that fails: it stays as it is.
   */
  release(reason: string, options?: { readonly discard?: boolean }): Promise<void>;
  /** On stable storage when it resolves. */
  beginScript(script: ScriptRecord): Promise<void>;
  endScript(jobId: JobId): Promise<void>;
  /** Begins what is due: a sleep, a sync, what failed before. */
  tick(): void;
  /** Part of what its disk stands on cannot be read. */
  tellDamage(damage: Damage): void;
  /** It was found without its microVM: `reason` is for people. */
  tellLost(reason: string): void;
  /** Gives it up to the next process: a microVM runs on. */
  leave(): Promise<void>;
}

export function createSandbox(deps: SandboxDeps, state: SandboxState, onGone: () => void): Sandbox {
  const life = createSandboxLife(deps, state);
  const { id, kept, inTurn, tell } = life;
  /** Who comes now waits until it sleeps. */
  let fallingAsleep = false;
  let calls = 0;
  /** All that have begun. */
  let uses = 0;
  const idle = createIdleWatch(
    deps,
    {
      record: () => kept.now,
      awake: () => life.awake,
      calls: () => calls,
      isChanging: life.isChanging,
      sleep: () => sandbox.sleep("idle"),
      release: () => sandbox.release("idle"),
    },
    { signal: life.closing },
  );
  const { touch } = idle;
  const publisher = createPublisher(deps, kept);
  const syncs = createSyncWatch(deps, {
    record: () => kept.now,
    isAwake: () => life.awake !== null,
    isChanging: life.isChanging,
    isGivenUp: () => life.givenUp.aborted,
    begin: (reason) => sandbox.sync(reason, { signal: life.givenUp }),
    publish: (options) => whileAwake(life, options, (awake) => publisher.publish(awake, options)),
    writeOut: (options) => whileAwake(life, options, (awake) => publisher.writeOut(awake, options)),
    behindBytes: async () => (life.awake ? publisher.behindBytes(life.awake) : 0),
    tell,
  });
  const hydration = createHydration(deps, {
    record: () => kept.now,
    awake: () => life.awake,
    isChanging: life.isChanging,
    change: kept.change,
    tell,
  });
  life.beside(hydration);
  const growth = createGrowth(deps, life);
  const room = createRoomWatch(deps, life);
  const waking = createWaking(deps, life, { idle, growth, room, giveBack: state.giveBack });
  const catchUp = createCatchUp(deps, life, {
    reach: (options) => publisher.reach(options),
    misfit: () => misfitOf(deps, kept.now),
    wake: () => waking.wakeUp("sync", { warmOnly: true }),
    // While the guest runs, however long that takes.
    publish: () =>
      syncs.publish({ reason: "sleep", hold: false, signal: life.givenUp }).then(
        () => {},
        () => {},
      ),
    sleep: () => putToSleep("sync"),
    uses: () => uses,
    tell,
  });
  const release = createRelease(deps, life, { syncs, waking, onGone });

  /** Its caller has the turn. */
  async function putToSleep(reason: SleepReason): Promise<void> {
    const { awake, gone } = life;
    if (!awake || gone) return;
    if (calls > 0)
      throw new AppError(
        "sandbox_busy",
        `the sandbox is busy: ${calls === 1 ? "1 call is" : `${calls} calls are`} under way; try again`,
      );
    fallingAsleep = true;
    try {
      const { releaseMicroVm } = waking;
      await fallAsleep(deps, life, { reason, awake, syncs, touch, releaseMicroVm });
    } finally {
      fallingAsleep = false;
    }
  }

  /** Of those, the client waits for an answer. @throws AppError `disk_full` when the guest cannot give one. */
  async function mustAnswer(reason: WakeReason): Promise<void> {
    const isAwaited = reason === "exec" || reason === "files";
    if (!isAwaited || !life.awake || !(await waitsForRoom(life.awake.microVm))) return;
    const { message } = diskFullError(deps.dataDirectory);
    throw new AppError("disk_full", `${message}; the VM waits for it, and goes on by itself then`);
  }

  const sandbox: Sandbox = {
    id,
    get record() {
      return kept.now;
    },
    get awake() {
      return life.awake;
    },
    touch,
    async use(reason, work, { signal }) {
      await mustAnswer(reason);
      await untilAborted(life.awake?.takenUp ?? Promise.resolve(), signal);
      while (!life.awake || fallingAsleep || life.gone) {
        if (life.gone) throw new AppError("job_not_running", "the sandbox is not running: it has ended");
        await untilAborted(waking.awaken(reason), signal);
      }
      calls++;
      uses++;
      touch();
      try {
        const { microVm, agent } = life.awake;
        return await work({ id, agent, gone: microVm.gone });
      } finally {
        calls--;
        touch();
      }
    },
    async sync(reason, { signal }) {
      const { policy, published } = kept.now;
      if (!policy.syncTo) throw new AppError("validation_failed", "the workspace is local: it is not synced");
      if (!isBehind(life) && published?.info) return published.info;
      const synced = inTurn(async () => {
        signal.throwIfAborted();
        if (life.gone) throw new AppError("job_not_running", "the sandbox is not running: it has ended");
        await waking.wakeUp("requested");
        return await syncs.publish({ reason, hold: false, signal: life.givenUp });
      });
      return await untilAborted(synced, signal); // what has begun goes on, whoever has gone
    },
    observe: () => ({
      sandboxId: id,
      waitsFor: room.waitsFor,
      sync: syncs.observe(),
      ...life.told,
      diskGiB: kept.now.grownGiB,
      hydrated: kept.now.base === null,
      lost: kept.now.asleep?.memory === null ? kept.now.asleep.reason : null,
    }),
    sleep: (reason) => inTurn(() => putToSleep(reason)),
    wake: (reason, options) => sandbox.use(reason, async () => {}, options),
    async grow(diskGiB) {
      const { size } = kept.now;
      if (diskGiB < size.diskGiB)
        throw new AppError(
          "validation_failed",
          `disk_gb: the disk has ${size.diskGiB} GB and cannot be made smaller; ask for more than that`,
        );
      // From here on it grows, whatever becomes of this call.
      if (diskGiB > size.diskGiB)
        await kept.change((now) => ({ size: { ...now.size, diskGiB: Math.max(now.size.diskGiB, diskGiB) } }));
      await inTurn(growth.now);
    },
    setPolicy: (policy) => changePolicy(deps, life, policy),
    release,
    beginScript: (script) => {
      const { jobId } = script;
      return kept.change(({ scripts }) => ({ lastJobId: jobId, scripts: [...scripts, script] }));
    },
    endScript: (jobId) =>
      kept.change(({ scripts }) => ({ scripts: scripts.filter((script) => script.jobId !== jobId) })),
    tick() {
      room.tick();
      idle.tick();
      syncs.tick();
      growth.tick();
      catchUp.tick();
      hydration.tick();
    },
    sampleCpu: idle.sampleCpu,
    tellLost: waking.tellLost,
    tellDamage: (damage) => tell("workspace_damaged", damageData(kept.now.policy.syncTo, damage)),
    async leave() {
      life.close();
      await inTurn(async () => {
        await life.awake?.agent[Symbol.asyncDispose]();
        await life.awake?.microVm.machine.qmp[Symbol.asyncDispose]();
      });
    },
  };
  return sandbox;
}
