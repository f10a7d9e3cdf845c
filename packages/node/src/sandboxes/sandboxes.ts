/** All sandboxes of a node: makes them, finds them, takes over those of an earlier process, and looks which are idle. */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { AppError, messageOf } from "@mags/core";
import type { JobStart, SandboxId, SandboxRuntime, WorkspaceRuntime } from "@mags/domain";
import type { AgentConnection } from "../agent/index.ts";
import type { Image } from "../images/image.ts";
import { connectGuest, tellTime } from "../microvm/guest.ts";
import type { FoundRecord, MicroVmRecord } from "../microvm/record.ts";
import { DISK } from "../pool/clone.ts";
import { viewPlaceOf } from "../qemu/disk-view/place.ts";
import { settleDisk } from "../qemu/disk-view/settle.ts";
import { FIRST_MARK } from "../workspaces/stand-on.ts";
import { asleepWithout } from "./make-awake.ts";
import { createSandbox, type Sandbox, type SandboxState } from "./sandbox.ts";
import type { Awake, SandboxDeps } from "./sandbox-deps.ts";
import { MEMORY, type SandboxRecord } from "./sandbox-record.ts";

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
  /** Begins to look. */
  start(): void;
}

const SYNCED_FOLDER = "/jfs";
const BLOCKS_MS = 30_000;
const TICK_MS = 1_000;
const CPU_EVERY_MS = 20_000;

export function createSandboxes(deps: SandboxDeps): Sandboxes {
  const { store, host, guests, egressWatch, capacity, clock, log } = deps;
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

  /** @throws AppError `microvm_lost` with a reason for people. */
  async function adopt(found: MicroVmRecord, record: SandboxRecord): Promise<Awake> {
    const { id } = record;
    const microVm = await host.adopt(found);
    const { machine, paths } = microVm;
    // The earlier process may have ended while it put it to sleep, published it, or before it let it run.
    await machine.cancelSave();
    if (record.policy.syncTo)
      await settleDisk(machine.qmp, viewPlaceOf(microVm), { since: record.published?.mark ?? null });
    const state = await machine.status();
    if (state === "paused" || state === "waiting") await machine.resume();
    else if (state !== "running") throw new AppError("microvm_lost", `the guest ${state} while the server was away`);
    for (const path of [join(paths.jail, MEMORY), store.placeOf(id).memory]) await rm(path, { force: true });
    let agent: AgentConnection;
    try {
      agent = await connectGuest(microVm, deps, { first: (connection) => tellTime(connection, deps) });
    } catch (cause) {
      const message = `its guest agent did not answer after a restart of the server: ${messageOf(cause)}`;
      throw new AppError("microvm_lost", message, { cause });
    }
    const { diskState, identity } = await agent.hello;
    if (diskState !== "none" && identity.some((byte) => byte !== 0)) return { microVm, agent };
    await agent[Symbol.asyncDispose]();
    throw new AppError("microvm_lost", "the earlier server ended before its guest had disk and identity");
  }

  /** Disks that stand on a version answer nothing without the block server, and their QEMU then not much either. */
  async function settleBlocks(records: readonly SandboxRecord[]): Promise<void> {
    const standing = new Set<string>(records.filter(({ base }) => base).map(({ id }) => id));
    if (standing.size === 0) return;
    const signal = AbortSignal.timeout(BLOCKS_MS);
    try {
      for (const id of await deps.blocks.call("served", {}, { signal }))
        if (!standing.has(id)) await deps.blocks.call("unserve", { id }, { signal });
    } catch (error) {
      log.error("sandbox.blocks_not_settled", { error: messageOf(error) });
    }
  }

  async function discard(found: MicroVmRecord | undefined): Promise<void> {
    if (!found) return;
    await host
      .discard(found)
      .catch((error: unknown) => log.error("sandbox.microvm_not_removed", { error: messageOf(error) }));
  }

  async function resumeOne(
    record: SandboxRecord,
    found: MicroVmRecord | undefined,
    before: (sandbox: Sandbox) => Promise<void>,
  ): Promise<void> {
    if (record.asleep !== null) {
      // The earlier process ended after it had written down that it sleeps: what is left of its microVM did not run since.
      await discard(found);
      const sandbox = add({ record, awake: null, giveBack: () => {} });
      await before(sandbox);
      if (record.asleep.memory !== null) return;
      guests.ended(record.id, record.asleep.reason);
      sandbox.tellLost(record.asleep.reason);
      return;
    }
    let awake: Awake | null = null;
    let why = "its QEMU process ended while the server was away";
    try {
      if (found) awake = await adopt(found, record);
    } catch (error) {
      log.info("sandbox.not_adopted", { sandboxId: record.id, error: messageOf(error) });
      if (found?.process) why = messageOf(error);
    }
    if (!awake) {
      await discard(found);
      const asleep = asleepWithout(deps, `the VM was lost: ${why}`);
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
    const sandbox = add({ record, awake, giveBack: capacity.take(record.size.memoryMiB) });
    await before(sandbox);
    const { microVm, agent } = awake;
    guests.connected({ id: record.id, agent, gone: microVm.gone });
    deps.egress.restore(microVm.index, record.policy.egress); // it may have changed since the microVM was bound
    egressWatch.begin(record.lastJobId, microVm.index);
    sandbox
      .growFully()
      .catch((error: unknown) => log.warn("sandbox.not_grown", { sandboxId: record.id, error: messageOf(error) }));
    log.info("sandbox.adopted", { sandboxId: record.id, microVmId: microVm.id });
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
      await settleBlocks(records);
      const microVms = new Map(found.map(({ record }) => [record.id, record]));
      await Promise.all(records.map((record) => resumeOne(record, microVms.get(record.microVmId), before)));
      const kept = new Set(records.map(({ microVmId }) => microVmId));
      // Bound to a sandbox that was not written down: nothing was asked of it.
      for (const { record, binding } of found)
        if (binding?.sandboxId !== undefined && !kept.has(record.id)) await host.discard(record);
    },

    start() {
      const tick = () => {
        for (const sandbox of sandboxes.values()) {
          sandbox.tick();
          sandbox.syncs.tick();
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

/** Where scripts expect what is kept with a synced workspace. All of the disk is: this is a folder of it. */
async function makeSyncedFolder(agent: AgentConnection): Promise<void> {
  await agent.makeDirectory({ path: SYNCED_FOLDER, parents: true });
}

/** For people: those that were made from the image of that name. */
export function sandboxesIn(sandboxes: readonly Sandbox[], image: string): string[] {
  return sandboxes.filter(({ record }) => record.image.name === image).map(({ id }) => `sandbox ${id}`);
}
