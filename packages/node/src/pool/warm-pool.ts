/**
 * Clones of one template that wait for jobs. One is made at a time, at idle priority, and none while a job waits to
 * start. Taking is instant; a clone that was taken never comes back.
 */
import { type Clock, type Logger, messageOf, sleep } from "@mags/core";
import type { MicroVmSize } from "@mags/domain";
import { hostMemory } from "../host/memory.ts";
import type { Template } from "../templates/template-store.ts";
import { type CloneDeps, type ParkedClone, parkClone } from "./clone.ts";
import { DEMAND_WINDOW_MS, type PoolLimits, planPool } from "./plan.ts";

export interface WarmPool extends AsyncDisposable {
  /** A parked clone, or nothing when there is none. `mounted` ones are given only where the default disk will do. */
  take(want: { readonly defaultDisk: boolean }): ParkedClone | undefined;
  /** Takes in a clone that an earlier process parked. */
  adopt(clone: ParkedClone): void;
  /** Begins to keep the pool full. */
  start(): void;
  /** Looks again at what should be done. */
  nudge(): void;
  readonly idle: number;
  /** Why the last attempt to make a clone failed; nothing when it did not. */
  readonly failure: string | undefined;
  /** Clones made since the start, and how long the last took. */
  readonly parked: { readonly count: number; readonly lastMs: number };
}

export interface WarmPoolConfig extends PoolLimits {
  readonly size: MicroVmSize;
  /** Memory that must stay free. */
  readonly memoryFloorMiB: number;
  /** What a parked clone takes, for planning. */
  readonly cloneMemoryMiB: number;
}

export interface WarmPoolDeps extends CloneDeps {
  readonly template: () => Promise<Template>;
  /** True while jobs wait for a start: they have the processors. */
  readonly jobsWaiting: () => boolean;
  readonly clock: Clock;
  readonly log: Logger;
}

const LOOK_EVERY_MS = 2_000;
const YIELD_MS = 20;
const FAILURE_PAUSE_MS = 5_000;

export function createWarmPool(deps: WarmPoolDeps, config: WarmPoolConfig): WarmPool {
  const { clock, log } = deps;
  const mounted: ParkedClone[] = [];
  const slot: ParkedClone[] = [];
  let takenAtMs: number[] = [];
  let parking = 0;
  let wake = () => {};
  let count = 0;
  let lastMs = 0;
  let failure: string | undefined;
  const stopped = new AbortController();

  /** A clone whose QEMU died while it waited is of no use. */
  function watch(clone: ParkedClone): void {
    void clone.microVm.lost.then(async (reason) => {
      const list = clone.mounted ? mounted : slot;
      const at = list.indexOf(clone);
      if (at < 0) return;
      list.splice(at, 1);
      log.warn("pool.clone_lost", { microVmId: clone.microVm.id, reason });
      await deps.host
        .release(clone.microVm)
        .catch((error: unknown) => log.error("pool.release_failed", { error: messageOf(error) }));
      wake();
    });
  }

  function add(clone: ParkedClone): void {
    (clone.mounted ? mounted : slot).push(clone);
    watch(clone);
  }

  async function act(): Promise<boolean> {
    const memory = hostMemory();
    const action = planPool(config, {
      takenAtMs,
      nowMs: clock.monotonicMs(),
      mounted: mounted.length,
      slot: slot.length,
      parking,
      roomFor: Math.floor((memory.availableMiB - config.memoryFloorMiB) / config.cloneMemoryMiB),
    });
    if (action.kind === "none") return false;
    if (action.kind === "retire") {
      const clone = mounted.length > slot.length ? mounted.pop() : (slot.pop() ?? mounted.pop());
      if (clone) await deps.host.release(clone.microVm);
      return true;
    }
    while (deps.jobsWaiting()) await sleep(YIELD_MS, { signal: stopped.signal });
    const startedAt = clock.monotonicMs();
    parking = 1;
    try {
      const clone = await parkClone(deps, await deps.template(), { mounted: action.mounted, size: config.size });
      if (stopped.signal.aborted) await deps.host.release(clone.microVm);
      else add(clone);
    } finally {
      parking = 0;
    }
    failure = undefined;
    count++;
    lastMs = clock.monotonicMs() - startedAt;
    return true;
  }

  async function keepFull(): Promise<void> {
    while (!stopped.signal.aborted) {
      let again = false;
      try {
        again = await act();
      } catch (error) {
        if (stopped.signal.aborted) return;
        failure = messageOf(error);
        log.error("pool.refill_failed", { error: failure });
        await sleep(FAILURE_PAUSE_MS, { signal: stopped.signal }).catch(() => {});
      }
      if (again) continue;
      const nudged = new Promise<void>((resolve) => {
        wake = resolve;
      });
      await Promise.race([nudged, sleep(LOOK_EVERY_MS, { signal: stopped.signal })]).catch(() => {});
    }
  }

  let running: Promise<void> | undefined;

  return {
    take({ defaultDisk }) {
      const clone = (defaultDisk ? mounted.shift() : undefined) ?? slot.shift();
      const now = clock.monotonicMs();
      takenAtMs = takenAtMs.filter((at) => now - at <= DEMAND_WINDOW_MS);
      takenAtMs.push(now);
      wake();
      return clone;
    },
    adopt: add,
    start() {
      running ??= keepFull();
    },
    nudge: () => wake(),
    get idle() {
      return mounted.length + slot.length;
    },
    get failure() {
      return failure;
    },
    get parked() {
      return { count, lastMs };
    },
    async [Symbol.asyncDispose]() {
      stopped.abort(new Error("the pool is closed"));
      await running;
      for (const clone of [...mounted.splice(0), ...slot.splice(0)]) await deps.host.release(clone.microVm);
    },
  };
}
