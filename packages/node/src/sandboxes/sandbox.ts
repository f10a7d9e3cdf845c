/**
 * One sandbox. States: awake (a microVM with a connected agent), asleep (a disk, and maybe a memory), gone. One change of
 * state or disk at a time; whoever wants to work in it waits for that, then wakes it. Invariants:
 * - Its record says `asleep` with a memory only when that is whole, on stable storage, and nothing ran since it was written.
 * - A memory is used once: the record says awake before the first instruction after it.
 * - Whatever fails, the disk stays, until `release`.
 */
import { isDeepStrictEqual } from "node:util";
import { AppError, createGate, messageOf, untilAborted, withDeadline } from "@mags/core";
import type {
  JobId,
  ObservedSandbox,
  SandboxId,
  SandboxPolicy,
  SleepReason,
  SyncReason,
  SyncTarget,
  WakeReason,
  WorkspaceVersion,
} from "@mags/domain";
import type { GuestHandle } from "../guests/guests.ts";
import { untilEnded } from "../host/processes.ts";
import { untilDone } from "../host/until-done.ts";
import type { MicroVm } from "../microvm/microvm-host.ts";
import { versionOf } from "../workspaces/workspace-runtime.ts";
import { createIdleWatch, type IdleWatch } from "./idle-watch.ts";
import { keepRecord } from "./kept-record.ts";
import { asleepWithout, makeAwake, makeReady } from "./make-awake.ts";
import { storedBytes } from "./memory-file.ts";
import { createPublisher } from "./publish.ts";
import type { Awake, SandboxDeps } from "./sandbox-deps.ts";
import type { SandboxRecord, ScriptRecord } from "./sandbox-record.ts";
import { sleepOnDisk } from "./save.ts";
import { createSyncWatch, type SyncWatch } from "./sync-watch.ts";
import { runStartupCommand } from "./wake.ts";

export interface Sandbox extends GuestHandle, Pick<IdleWatch, "tick" | "sampleCpu"> {
  readonly id: SandboxId;
  readonly record: SandboxRecord;
  readonly awake: Awake | null;
  readonly syncs: Pick<SyncWatch, "tick">;
  observe(): ObservedSandbox;
  /** Publishes what has changed; wakes it when something has since it fell asleep. */
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
  /** Goes on with a growth that an earlier process did not finish. */
  growFully(): Promise<void>;
  /** It was found without its microVM: `reason` is for people. */
  tellLost(reason: string): void;
  /** Gives it up to the next process: a microVM runs on. */
  leave(): Promise<void>;
}

export interface SandboxState {
  readonly record: SandboxRecord;
  readonly awake: Awake | null;
  /** Gives back the memory that its microVM takes. */
  readonly giveBack: () => void;
}

const GIB = 1024 ** 3;
const RECLAIM_MS = 15_000;
const QUIT_MS = 3_000;
/** For memory of the host. */
const ROOM_MS = 60_000;
const LAST_SYNC_MS = 60_000;
const SLEEP_SYNC_MS = 30_000;
const LET_GO_MS = 5_000;
/** The report of a version that nobody has just made. */
const NOTHING_SENT = { reason: "interval", changedBytes: 0, sentBytes: 0, puts: 0, stallMs: 0, durationMs: 0 } as const;
const REVIVAL = { firstMs: 1_000, longestMs: 60_000 };

export function createSandbox(deps: SandboxDeps, state: SandboxState, onGone: () => void): Sandbox {
  const { store, host, guests, egress, egressWatch, clock, log, report } = deps;
  const { id } = state.record;
  const turn = createGate(1);
  const kept = keepRecord(store, state.record);
  const write = (changes: Partial<SandboxRecord>) => kept.change(() => changes);
  const closing = new AbortController();
  /** A wake that is under way is given up between two of its attempts. */
  const ending = new AbortController();
  const givenUp = AbortSignal.any([closing.signal, ending.signal]);
  let { awake, giveBack } = state;
  let gone = false;
  let removed = false;
  /** Who comes now waits until it sleeps. */
  let fallingAsleep = false;
  let calls = 0;
  /** What others know: it changes with the report that says so. */
  let told: Pick<ObservedSandbox, "state" | "microVmId"> = {
    state: awake ? "running" : "sleeping",
    microVmId: awake?.microVm.id ?? null,
  };
  let waking: Promise<void> | undefined;
  /** Whose events tell what the microVM was denied. */
  let watchedJobId = state.record.lastJobId;
  const nowMs = () => clock.now().getTime();
  const idle = createIdleWatch(
    deps,
    {
      record: () => kept.now,
      awake: () => awake,
      calls: () => calls,
      isChanging: () => gone || turn.inside > 0,
      sleep: () => sandbox.sleep("idle"),
      release: () => sandbox.release("idle"),
    },
    { signal: closing.signal },
  );
  const { touch } = idle;
  const publisher = createPublisher(deps, kept);
  const syncs = createSyncWatch(deps, {
    record: () => kept.now,
    isAwake: () => awake !== null,
    isChanging: () => gone || turn.inside > 0,
    begin: (reason) => sandbox.sync(reason, { signal: givenUp }),
    publish: (options) => {
      if (!awake) throw new AppError("unavailable", "the sandbox sleeps");
      return publisher.publish(awake, options);
    },
    behindBytes: async () => (awake ? publisher.behindBytes(awake) : 0),
    tell,
  });

  /** Also of one that sleeps: whether its disk is what was published. */
  function isBehind(): boolean {
    const { policy, asleep, published } = kept.now;
    if (!policy.syncTo) return false;
    return awake !== null || published?.workspaceId !== policy.syncTo.workspaceId || asleep?.synced !== true;
  }

  /** The guest is paused when it resolves, and all it wrote is published. */
  async function publishForGood(signal: AbortSignal): Promise<void> {
    if (!isBehind()) return;
    if (!awake) await wakeUp("requested");
    // Most of it while the guest runs, however long that takes; then the little that is left, with the guest paused.
    await syncs.publish({ reason: "stop", hold: false, signal });
    const last = AbortSignal.any([AbortSignal.timeout(LAST_SYNC_MS), signal]);
    await syncs.publish({ reason: "stop", hold: true, signal: last });
  }

  async function inTurn<T>(work: () => Promise<T>): Promise<T> {
    const leave = await turn.enter();
    try {
      return await work();
    } finally {
      leave();
    }
  }

  function tell(name: string, data: Readonly<Record<string, unknown>>): void {
    log.info(`sandbox.${name}`, { sandboxId: id, ...data });
    told = { state: awake ? "running" : "sleeping", microVmId: awake?.microVm.id ?? null };
    const state = gone ? "gone" : told.state;
    report({ type: "sandbox", sandboxId: id, state, microVmId: told.microVmId, atMs: nowMs(), name, data });
  }

  function watch(microVm: MicroVm): void {
    void microVm.lost.then((reason) => inTurn(() => lose(microVm, reason)));
  }

  /** Its microVM is taken away from it. */
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
    if (awake?.microVm !== microVm || closing.signal.aborted) return;
    const lost = awake;
    awake = null;
    guests.ended(id, reason);
    const written = write({ asleep: asleepWithout(deps, `the VM was lost: ${reason}`) });
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
      if (!gone && !awake && kept.now.policy.alwaysOn) await awaken("no_sleep");
    };
    // Each failure is told of by the wake.
    void untilDone(work, { ...REVIVAL, onFailure: () => {}, signal: closing.signal });
  }

  async function fallAsleep(current: Awake, reason: SleepReason): Promise<void> {
    const { microVm, agent } = current;
    const begunMs = clock.monotonicMs();
    // A guest that hangs sleeps all the same, with more memory than it needs.
    await withDeadline(agent.reclaim({ deadlineMs: RECLAIM_MS }), RECLAIM_MS, () => new Error("no answer")).catch(
      (error: unknown) => log.info("sandbox.not_reclaimed", { sandboxId: id, error: messageOf(error) }),
    );
    if (reason === "idle" && turn.waiting > 0) return touch(); // somebody wants it
    // What cannot be published now is so after its next wake.
    const synced =
      kept.now.policy.syncTo !== null &&
      (await syncs.publish({ reason: "sleep", hold: true, signal: AbortSignal.timeout(SLEEP_SYNC_MS) }).then(
        () => true,
        () => false, // it was told of
      ));
    try {
      await sleepOnDisk(deps, kept, current, { reason, synced });
    } catch (error) {
      touch();
      tell("sleep_failed", { reason: messageOf(error) });
      throw error;
    }
    awake = null;
    guests.suspended(id);
    await microVm.machine.quit();
    await untilEnded(microVm.process, QUIT_MS);
    // It sleeps whatever is left of its microVM, which is tried to be removed again.
    await releaseMicroVm(current).catch((error: unknown) =>
      log.error("sandbox.microvm_not_removed", { sandboxId: id, error: messageOf(error) }),
    );
    const durationMs = Math.round(clock.monotonicMs() - begunMs);
    tell("slept", { reason, durationMs, memoryBytes: await storedBytes(store.placeOf(id).memory) });
  }

  async function wakeUp(reason: WakeReason): Promise<void> {
    if (awake) return;
    const begunMs = clock.monotonicMs();
    await makeReady(deps, kept.now).catch(() => {}); // the wake meets it again, and tells of it
    const patience = AbortSignal.any([AbortSignal.timeout(ROOM_MS), givenUp]);
    const back = await deps.capacity.reserve(kept.now.size.memoryMiB, { signal: patience }).catch((cause: unknown) => {
      givenUp.throwIfAborted();
      const message = `the host has no memory for the sandbox now: ${kept.now.size.memoryMiB} MiB; try again later`;
      throw new AppError("capacity_exhausted", message, { cause, retryAfterSeconds: 10 });
    });
    const leaveGate = await deps.gate.enter();
    try {
      const woken = await makeAwake(deps, {
        record: () => kept.now,
        write,
        onFailure: (failure) => tell("wake_failed", { reason: failure }),
        onCold: (why) => guests.ended(id, why),
        onCommit: leaveGate, // what the guest does from here on, others need not wait for
        signal: givenUp,
      });
      const { microVm, agent, coldBecause } = woken;
      giveBack = back;
      awake = { microVm, agent };
      idle.begin();
      watch(microVm);
      guests.connected({ id, agent, gone: microVm.gone });
      watchedJobId = kept.now.lastJobId;
      egressWatch.begin(watchedJobId, microVm.index);
      const kind = coldBecause === null ? "warm" : "cold";
      const durationMs = Math.round(clock.monotonicMs() - begunMs);
      tell("woke", { reason, kind, durationMs, ...(coldBecause !== null && { coldBecause }) });
      await growNow(awake).catch((error: unknown) => tell("resize_failed", { reason: messageOf(error) }));
      if (coldBecause !== null) void startUp(awake);
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
        if (!gone && awake?.microVm === microVm) tell("startup_failed", { reason: messageOf(error) });
      },
    );
  }

  function awaken(reason: WakeReason): Promise<void> {
    waking ??= inTurn(() => wakeUp(reason)).finally(() => {
      waking = undefined;
    });
    return waking;
  }

  async function growNow({ microVm, agent }: Awake): Promise<void> {
    const { size, grownGiB } = kept.now;
    if (grownGiB === size.diskGiB) return;
    await host.limitDisk(microVm, size);
    await microVm.machine.growDisk(size.diskGiB * GIB);
    await agent.grow({ sizeBytes: size.diskGiB * GIB });
    await write({ grownGiB: size.diskGiB });
    tell("resized", { diskGiB: size.diskGiB });
  }

  /**
   * The block server has nothing more to do for it; what cannot be said now it is told by the next start.
   * @returns the newest version of its workspace: of a sync that was cut off nobody may have told.
   */
  async function letGo(): Promise<WorkspaceVersion | null> {
    const { base, policy, published } = kept.now;
    const signal = AbortSignal.timeout(LET_GO_MS);
    const newest = async (target: SyncTarget) => {
      const key = { account: target.accountId, workspace: target.workspaceId };
      await deps.blocks.call("release", key, { signal });
      const version = (await deps.blocks.call("versions", key, { signal })).at(-1);
      return version ? versionOf(version) : null;
    };
    const [unserved, asked] = await Promise.allSettled([
      base ? deps.blocks.call("unserve", { id }, { signal }) : null,
      policy.syncTo ? newest(policy.syncTo) : null,
    ]);
    for (const result of [unserved, asked])
      if (result.status === "rejected")
        log.warn("sandbox.not_let_go", { sandboxId: id, error: messageOf(result.reason) });
    if (asked.status === "fulfilled") return asked.value;
    return policy.syncTo && published?.workspaceId === policy.syncTo.workspaceId ? published.info : null;
  }

  if (awake) watch(awake.microVm);

  const sandbox: Sandbox = {
    id,
    get record() {
      return kept.now;
    },
    get awake() {
      return awake;
    },
    touch,
    async use(reason, work, { signal }) {
      while (!awake || fallingAsleep || gone) {
        if (gone) throw new AppError("job_not_running", "the sandbox is not running: it has ended");
        await untilAborted(awaken(reason), signal);
      }
      calls++;
      touch();
      try {
        const { microVm, agent } = awake;
        return await work({ id, agent, gone: microVm.gone });
      } finally {
        calls--;
        touch();
      }
    },
    syncs,
    async sync(reason, { signal }) {
      const { policy, published } = kept.now;
      if (!policy.syncTo) throw new AppError("validation_failed", "the workspace is local: it is not synced");
      if (!isBehind() && published?.info) return published.info;
      return await inTurn(async () => {
        if (gone) throw new AppError("job_not_running", "the sandbox is not running: it has ended");
        if (!awake) await wakeUp("requested");
        const ended = AbortSignal.any([signal, givenUp]);
        return await syncs.publish({ reason, hold: false, signal: ended });
      });
    },
    observe: () => ({
      sandboxId: id,
      sync: syncs.observe(),
      ...told,
      diskGiB: kept.now.grownGiB,
      lost: kept.now.asleep?.memory === null ? kept.now.asleep.reason : null,
    }),
    sleep: (reason) =>
      inTurn(async () => {
        if (!awake || gone) return;
        if (calls > 0)
          throw new AppError(
            "sandbox_busy",
            `the sandbox is busy: ${calls === 1 ? "1 call is" : `${calls} calls are`} under way; try again`,
          );
        fallingAsleep = true;
        try {
          await fallAsleep(awake, reason);
        } finally {
          fallingAsleep = false;
        }
      }),
    wake: (reason, options) => sandbox.use(reason, async () => {}, options),
    grow: (diskGiB) =>
      inTurn(async () => {
        const { size } = kept.now;
        if (diskGiB < size.diskGiB)
          throw new AppError(
            "validation_failed",
            `disk_gb: the disk has ${size.diskGiB} GB and cannot be made smaller; ask for more than that`,
          );
        if (diskGiB > size.diskGiB) await write({ size: { ...size, diskGiB } });
        if (awake) await growNow(awake);
      }),
    async setPolicy(policy) {
      const { policy: before } = kept.now;
      if (isDeepStrictEqual(before, policy)) return;
      await inTurn(async () => {
        // Rules first: when this is cut off it is asked for again, and the record still differs.
        if (awake && !isDeepStrictEqual(before.egress, policy.egress))
          await egress.change(awake.microVm.index, policy.egress);
        await write({ policy });
      });
    },
    growFully: () => inTurn(async () => (awake ? growNow(awake) : undefined)),
    async release(reason, { discard = false } = {}) {
      const end = () => {
        gone = true;
        kept.close();
        ending.abort(new AppError("job_not_running", "the sandbox is not running: it has ended"));
      };
      if (discard || !isBehind()) end();
      await inTurn(async () => {
        if (!gone) await publishForGood(givenUp);
        if (removed) return; // by a call that came before
        end();
        const current = awake;
        awake = null;
        guests.ended(id, reason);
        if (current) await releaseMicroVm(current);
        await store.remove(id);
        removed = true;
        const version = await letGo();
        onGone();
        if (version) tell("synced", { ...NOTHING_SENT, version });
        tell("released", { reason });
      });
    },
    beginScript: (script) => {
      const { jobId } = script;
      return kept.change(({ scripts }) => ({ lastJobId: jobId, scripts: [...scripts, script] }));
    },
    endScript: (jobId) =>
      kept.change(({ scripts }) => ({ scripts: scripts.filter((script) => script.jobId !== jobId) })),
    tick: idle.tick,
    sampleCpu: idle.sampleCpu,
    tellLost,
    async leave() {
      closing.abort(new AppError("unavailable", "the server is stopping"));
      const leave = await turn.enter();
      await awake?.agent[Symbol.asyncDispose]();
      await awake?.microVm.machine.qmp[Symbol.asyncDispose]();
      leave();
    },
  };
  return sandbox;
}
