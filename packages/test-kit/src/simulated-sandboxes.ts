import { AppError } from "@mags/core";
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
} from "@mags/domain";

/** The sandboxes of a simulated node, and what happens to them on request. */
export interface SimulatedSandboxes extends SandboxRuntime {
  /** Nothing was done in it for long enough: it sleeps or goes, as its policy says. */
  idle(sandboxId: SandboxId): Promise<void>;
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
  wakes: number;
}

export function createSimulatedSandboxes(deps: {
  readonly nowMs: () => number;
  readonly report: (update: SandboxUpdate) => void;
  /** The microVM of one is lost, and with it the scripts in it. */
  readonly loseScripts: (sandboxId: SandboxId, message: string) => void;
  /** Resolves when the scripts in one have ended. */
  readonly stopScripts: (sandboxId: SandboxId) => Promise<void>;
}): SandboxesOfNode {
  const { nowMs, report, loseScripts, stopScripts } = deps;
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
    held.microVmId = null;
    tell(id, held, "slept", { reason });
  }

  async function remove(id: SandboxId, reason: string): Promise<void> {
    await stopScripts(id);
    if (!sandboxes.delete(id)) return;
    const gone = { sandboxId: id, state: "gone", microVmId: null, atMs: nowMs(), name: "released" } as const;
    report({ type: "sandbox", ...gone, data: { reason } });
  }

  return {
    observeSandboxes: () =>
      [...sandboxes].map(
        ([id, { microVmId, diskGiB, lost }]): ObservedSandbox => ({
          sandboxId: id as SandboxId,
          state: microVmId === null ? "sleeping" : "running",
          ...{ microVmId, diskGiB, lost },
        }),
      ),
    sleepSandbox: (id, { reason }) => sleepFor(id, reason),
    async wakeSandbox(id, { reason }) {
      wakeFor(id, reason);
    },
    async setSandboxPolicy(id, policy) {
      get(id).policy = policy;
    },
    async growSandbox(id, { diskGiB }) {
      const held = get(id);
      if (diskGiB < held.diskGiB) throw new AppError("validation_failed", "it is larger already");
      held.diskGiB = diskGiB;
      tell(id, held, "resized", { diskGiB });
    },
    releaseSandbox: (id, { reason }) => remove(id, reason),

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
    forgetSandbox: (id) => void sandboxes.delete(id),
    policyOf: (id) => sandboxes.get(id)?.policy,
    wakes: (id) => sandboxes.get(id)?.wakes ?? 0,

    enter({ sandbox, size }) {
      if (!sandbox) return newMicroVmId();
      const { id, exists, ...policy } = sandbox;
      if (!exists && !sandboxes.has(id))
        sandboxes.set(id, { policy, microVmId: newMicroVmId(), diskGiB: size.diskGiB, lost: null, wakes: 0 });
      wakeFor(id, "script");
      return get(id).microVmId as MicroVmId; // just woken
    },
    has: (id) => sandboxes.has(id),
    wakeFor,
  };
}
