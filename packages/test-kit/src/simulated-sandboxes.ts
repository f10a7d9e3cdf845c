import { AppError, isAppError } from "@mags/core";
import {
  type JobStart,
  type MicroVmId,
  newMicroVmId,
  type ObservedSandbox,
  type SandboxId,
  type SandboxPolicy,
  type SandboxRuntime,
  type SandboxUpdate,
  type WakeReason,
  type WorkspaceRuntime,
} from "@mags/domain";
import { createSimulatedDisks, type SimulatedDisks } from "./simulated-disks.ts";
import type { StoreOfDisks } from "./simulated-store.ts";

/** The sandboxes of a simulated node, and what happens to them on request. */
export interface SimulatedSandboxes extends SandboxRuntime, SimulatedDisks, Pick<WorkspaceRuntime, "syncSandbox"> {
  /** Nothing was done in it for long enough: it sleeps or goes, as its policy says. */
  idle(sandboxId: SandboxId): Promise<void>;
  /** Its disk ceases to stand on a version; `untold`: nobody hears of it. */
  hydrate(sandboxId: SandboxId, options?: { readonly untold?: boolean }): void;
  /** It meets damage in the object store. */
  meetDamage(sandboxId: SandboxId, data: Readonly<Record<string, unknown>>): void;
  /** Its microVM dies. */
  loseVm(sandboxId: SandboxId, message: string): void;
  /** Loses it as if it had never been. */
  forgetSandbox(sandboxId: SandboxId): void;
  policyOf(sandboxId: SandboxId): SandboxPolicy | undefined;
  /** How often each woke. */
  wakes(sandboxId: SandboxId): number;
}

/** What the node itself calls. */
export interface SandboxesOfNode extends SimulatedSandboxes {
  /** The microVM in which a job may run now: of its sandbox, made or woken for it. */
  enter(job: JobStart): MicroVmId;
  has(sandboxId: string): boolean;
  wakeFor(sandboxId: SandboxId, reason: WakeReason): void;
}

interface Held {
  policy: SandboxPolicy;
  microVmId: MicroVmId | null;
  diskGiB: number;
  lost: string | null;
  hydrated: boolean;
  wakes: number;
}

/** The report of a version that nobody has just made. */
const NOTHING_SENT = { reason: "interval", sentBytes: 0, durationMs: 0, stallMs: 0 };

export function createSimulatedSandboxes(deps: {
  readonly nowMs: () => number;
  readonly report: (update: SandboxUpdate) => void;
  /** The microVM of one is lost, and with it the scripts in it. */
  readonly loseScripts: (sandboxId: SandboxId, message: string) => void;
  /** Resolves when the scripts in one have ended. */
  readonly stopScripts: (sandboxId: SandboxId) => Promise<void>;
  readonly store: StoreOfDisks;
}): SandboxesOfNode {
  const { nowMs, report, loseScripts, stopScripts, store } = deps;
  const sandboxes = new Map<string, Held>();

  function get(id: SandboxId): Held {
    const held = sandboxes.get(id);
    if (!held) throw new AppError("sandbox_not_found", `there is no sandbox ${id}`);
    return held;
  }

  function tell(id: SandboxId, held: Held, name: string, data: Readonly<Record<string, unknown>>): void {
    const { microVmId } = held;
    const state = microVmId === null ? "sleeping" : "running";
    report({ type: "sandbox", sandboxId: id, state, microVmId, atMs: nowMs(), name, data });
  }

  const disks = createSimulatedDisks({
    nowMs,
    store,
    tell(id, name, data) {
      const held = sandboxes.get(id);
      if (held) tell(id, held, name, data);
    },
    diskGiB: (id) => get(id).diskGiB,
  });

  function wakeFor(id: SandboxId, reason: WakeReason, kind = "warm"): void {
    const held = get(id);
    if (held.microVmId !== null) return;
    held.microVmId = newMicroVmId();
    held.lost = null;
    held.wakes++;
    tell(id, held, "woke", { kind, reason });
  }

  async function sleepFor(id: SandboxId, reason: string): Promise<void> {
    const held = get(id);
    if (held.microVmId === null) return;
    disks.trySync(id, held.diskGiB, "sleep");
    held.microVmId = null;
    tell(id, held, "slept", { reason });
  }

  async function remove(id: SandboxId, reason: string, discard = false): Promise<void> {
    if (sandboxes.has(id)) publishLast(id, discard);
    await stopScripts(id);
    const held = sandboxes.get(id);
    if (!held) return;
    const version = disks.observe(id)?.version;
    const syncedAtMs = discard && version ? { syncedAtMs: version.createdAtMs } : {};
    if (version) tell(id, held, "synced", { ...NOTHING_SENT, version, ...syncedAtMs });
    sandboxes.delete(id);
    disks.remove(id);
    const gone = { sandboxId: id, state: "gone", microVmId: null, atMs: nowMs(), name: "released" } as const;
    report({ type: "sandbox", ...gone, data: { reason } });
  }

  function publishLast(id: SandboxId, discard: boolean): void {
    if (!disks.observe(id)) return;
    try {
      disks.sync(id, get(id).diskGiB, "stop");
    } catch (error) {
      if (!discard || !isAppError(error)) throw error;
    }
  }

  return {
    ...{ write: disks.write, contentOf: disks.contentOf, interval: disks.interval },
    observeSandboxes: () =>
      [...sandboxes].map(
        ([id, { microVmId, diskGiB, lost, hydrated }]): ObservedSandbox => ({
          sandboxId: id as SandboxId,
          state: microVmId === null ? "sleeping" : "running",
          ...{ microVmId, waitsFor: null, diskGiB, lost, hydrated, sync: disks.observe(id as SandboxId) },
        }),
      ),
    sleepSandbox: (id, { reason }) => sleepFor(id, reason),
    async wakeSandbox(id, { reason }) {
      wakeFor(id, reason);
    },
    async setSandboxPolicy(id, policy) {
      const held = get(id);
      held.policy = policy;
      disks.setTarget(id, policy.syncTo, held.diskGiB);
    },
    async growSandbox(id, { diskGiB }) {
      const held = get(id);
      if (diskGiB < held.diskGiB) throw new AppError("validation_failed", "it is larger already");
      held.diskGiB = diskGiB;
      tell(id, held, "resized", { diskGiB });
    },
    releaseSandbox: (id, { reason, discard }) => remove(id, reason, discard),
    async syncSandbox(id, { reason }) {
      return disks.sync(id, get(id).diskGiB, reason);
    },

    async idle(id) {
      const { action } = get(id).policy.idle;
      if (action === "sleep") await sleepFor(id, "idle");
      if (action === "release") await remove(id, "idle");
    },
    loseVm(id, message) {
      const held = get(id);
      held.microVmId = null;
      held.lost = message;
      loseScripts(id, message);
      tell(id, held, "vm_lost", { reason: message });
      if (held.policy.alwaysOn) wakeFor(id, "no_sleep", "cold");
    },
    meetDamage: (id, data) => tell(id, get(id), "workspace_damaged", data),
    hydrate(id, { untold = false } = {}) {
      const held = get(id);
      held.hydrated = true;
      if (!untold) tell(id, held, "hydrated", { dataBytes: 0, durationMs: 0 });
    },
    forgetSandbox(id) {
      if (sandboxes.delete(id)) disks.remove(id);
    },
    policyOf: (id) => sandboxes.get(id)?.policy,
    wakes: (id) => sandboxes.get(id)?.wakes ?? 0,

    enter({ sandbox, size }) {
      if (!sandbox) return newMicroVmId();
      const { id, exists, from, ...policy } = sandbox;
      if (!exists && !sandboxes.has(id)) {
        disks.make(sandbox);
        const made = {
          microVmId: newMicroVmId(),
          diskGiB: size.diskGiB,
          lost: null,
          hydrated: from === null,
          wakes: 0,
        };
        sandboxes.set(id, { policy, ...made });
      }
      wakeFor(id, "script");
      return get(id).microVmId as MicroVmId; // just woken
    },
    has: (id) => sandboxes.has(id),
    wakeFor,
  };
}
