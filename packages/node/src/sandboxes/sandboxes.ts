/** All sandboxes of a node: makes them, finds them, takes over those of an earlier process, and looks which are idle. */
import { join } from "node:path";
import type { Damage } from "@mags/block-server";
import { AppError, messageOf } from "@mags/core";
import type { JobStart, SandboxId, SandboxRuntime, WorkspaceRuntime } from "@mags/domain";
import type { Image } from "../images/image.ts";
import type { FoundRecord, MicroVmRecord } from "../microvm/record.ts";
import { DISK } from "../pool/clone.ts";
import { damageData } from "../workspaces/damage-data.ts";
import { FIRST_MARK } from "../workspaces/stand-on.ts";
import { makeSyncedFolder } from "./change-policy.ts";
import { asleepWithout } from "./make-awake.ts";
import { createSandbox, type Sandbox } from "./sandbox.ts";
import type { Awake, SandboxDeps } from "./sandbox-deps.ts";
import type { SandboxState } from "./sandbox-life.ts";
import type { SandboxRecord } from "./sandbox-record.ts";
import { type Adopted, adopt, discard, reachBlocks, unserveOthers, untilAnswered } from "./take-over.ts";

export interface Sandboxes
  extends Omit<SandboxRuntime, "observeSandboxes" | "releaseSandbox">,
    Pick<WorkspaceRuntime, "syncSandbox">,
    AsyncDisposable {
  find(id: SandboxId): Sandbox | undefined;
  all(): readonly Sandbox[];
  /** Makes the microVM of a job, whose script was not sent yet, a sandbox with that script in it. */
  create(
    job: JobStart,
    state: Omit<SandboxState, "record"> & { readonly awake: Awake; readonly image: Image },
  ): Promise<Sandbox>;
  /**
   * Takes over what an earlier process left. `found`: microVMs of sandboxes; those that none needs are removed. `before` is
   * called with each sandbox before its guest is connected.
   */
  resume(found: readonly FoundRecord[], before: (sandbox: Sandbox) => Promise<void>): Promise<void>;
  /** Tells of what one of them found damaged in the version it stands on, also one that is about to be made. */
  tellDamage(damage: Damage): void;
  /** Begins to look. */
  start(): void;
}

const TICK_MS = 1_000;
const CPU_EVERY_MS = 20_000;

export function createSandboxes(deps: SandboxDeps): Sandboxes {
  const { store, host, guests, egressWatch, capacity, clock, log, report } = deps;
  const sandboxes = new Map<SandboxId, Sandbox>();
  const timers: NodeJS.Timeout[] = [];

  function add(state: SandboxState): Sandbox {
    const { id } = state.record;
    const sandbox = createSandbox(deps, state, () => {
      sandboxes.delete(id);
      guests.remove(id);
    });
    sandboxes.set(id, sandbox);
    guests.add(id, sandbox);
    return sandbox;
  }

  function need(id: SandboxId): Sandbox {
    const sandbox = sandboxes.get(id);
    if (!sandbox) throw new AppError("sandbox_not_found", "the sandbox is not there any more");
    return sandbox;
  }

  async function resumeOne(
    record: SandboxRecord,
    found: MicroVmRecord | undefined,
    before: (sandbox: Sandbox) => Promise<void>,
  ): Promise<void> {
    if (record.asleep !== null) {
      // The earlier process ended after it had written down that it sleeps: what is left of its microVM did not run since.
      await discard(deps, found);
      const sandbox = add({ record, awake: null, giveBack: () => {} });
      await before(sandbox);
      if (record.asleep.memory !== null) return;
      guests.ended(record.id, record.asleep.reason);
      sandbox.tellLost(record.asleep.reason);
      return;
    }
    let awake: Adopted | null = null;
    let why = "its QEMU process ended while the server was away";
    try {
      if (found) awake = await adopt(deps, found, record);
    } catch (error) {
      log.info("sandbox.not_adopted", { sandboxId: record.id, error: messageOf(error) });
      if (found?.process) why = messageOf(error);
    }
    if (!awake) {
      await discard(deps, found);
      const asleep = asleepWithout(deps, record, `the VM was lost: ${why}`);
      // What cannot be written is found by the next start again.
      await store
        .write({ ...record, asleep })
        .catch((error: unknown) => log.error("sandbox.not_written", { sandboxId: record.id, error: messageOf(error) }));
      const sandbox = add({ record: { ...record, asleep }, awake: null, giveBack: () => {} });
      await before(sandbox);
      guests.ended(record.id, why);
      sandbox.tellLost(why);
      return;
    }
    const { microVm, agent, silent } = awake;
    const takenUp = Promise.withResolvers<void>();
    const giveBack = capacity.take(record.size.memoryMiB);
    await before(add({ record, awake: { microVm, agent, takenUp: takenUp.promise }, giveBack }));
    const takeUp = () => guests.connected({ id: record.id, agent, gone: microVm.gone });
    if (silent)
      void untilAnswered(deps, awake)
        .then(takeUp)
        .catch((error: unknown) => microVm.declareLost(messageOf(error)))
        .finally(takenUp.resolve);
    else {
      takeUp();
      takenUp.resolve();
    }
    deps.egress.restore(microVm.index, record.policy.egress); // it may have changed since the microVM was bound
    egressWatch.begin(record.lastJobId, microVm.index);
    log.info("sandbox.adopted", { sandboxId: record.id, microVmId: microVm.id, silent });
  }

  return {
    find: (id) => sandboxes.get(id),
    all: () => [...sandboxes.values()],

    async create({ jobId, size, sandbox: spec, environment, keepsAwake }, { awake, giveBack, image }) {
      if (!spec) throw new Error("the job asks for no sandbox");
      const { id, exists: _, from, ...policy } = spec;
      const { microVm } = awake;
      const startedAtMs = clock.now().getTime();
      const record: SandboxRecord = {
        version: 2,
        id,
        size,
        grownGiB: size.diskGiB,
        image,
        policy,
        environment,
        lastJobId: jobId,
        scripts: [{ jobId, startedAtMs, keepsAwake }],
        base: from,
        published: from && { ...from, info: null, atMs: null, mark: FIRST_MARK },
        microVmId: microVm.id,
        asleep: null,
      };
      try {
        if (policy.syncTo) await makeSyncedFolder(awake.agent);
        await store.create(record, { path: join(microVm.paths.jail, DISK) });
      } catch (error) {
        await store.remove(id);
        throw error;
      }
      return add({ record, awake, giveBack });
    },

    async resume(found, before) {
      const records = await store.load({ log });
      await reachBlocks(deps, records);
      const microVms = new Map(found.map(({ record }) => [record.id, record]));
      await Promise.all(records.map((record) => resumeOne(record, microVms.get(record.microVmId), before)));
      await unserveOthers(deps, records);
      const kept = new Set(records.map(({ microVmId }) => microVmId));
      // Bound to a sandbox that was not written down: nothing was asked of it.
      for (const { record, binding } of found)
        if (binding?.sandboxId !== undefined && !kept.has(record.id)) await host.discard(record);
    },

    tellDamage(damage) {
      const id = damage.id as SandboxId;
      const sandbox = sandboxes.get(id);
      if (sandbox) return sandbox.tellDamage(damage);
      // Its start reads already, and may fail for that.
      log.info("sandbox.damaged_at_start", { sandboxId: id });
      report({
        ...{ type: "sandbox", sandboxId: id, state: "running", microVmId: null, atMs: clock.now().getTime() },
        ...{ name: "workspace_damaged", data: damageData(null, damage) },
      });
    },

    start() {
      const tick = () => {
        for (const sandbox of sandboxes.values()) {
          sandbox.tick();
        }
      };
      const sample = () => {
        for (const sandbox of sandboxes.values()) void sandbox.sampleCpu();
      };
      timers.push(setInterval(tick, TICK_MS).unref(), setInterval(sample, CPU_EVERY_MS).unref());
    },

    async sleepSandbox(id, { reason }) {
      await need(id).sleep(reason);
    },
    async wakeSandbox(id, { reason, signal }) {
      await need(id).wake(reason, { signal });
    },
    async setSandboxPolicy(id, policy) {
      await need(id).setPolicy(policy);
    },
    syncSandbox: (id, { reason, signal }) => need(id).sync(reason, { signal }),
    async growSandbox(id, { diskGiB }) {
      await need(id).grow(diskGiB);
    },

    async [Symbol.asyncDispose]() {
      for (const timer of timers) clearInterval(timer);
      await Promise.all([...sandboxes.values()].map((sandbox) => sandbox.leave()));
    },
  };
}

/** For people: those that were made from the image of that name. */
export function sandboxesIn(sandboxes: readonly Sandbox[], image: string): string[] {
  return sandboxes.filter(({ record }) => record.image.name === image).map(({ id }) => `sandbox ${id}`);
}
