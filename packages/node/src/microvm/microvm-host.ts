/**
 * Makes microVMs and removes them, with all that belongs to one: number, uid, namespace, directory, record, process. Whatever
 * happens between, `release` leaves nothing behind; after a crash `sweep` does the same for what no record claims.
 */
import { chown, type FileHandle, mkdir, open, rm } from "node:fs/promises";
import { join } from "node:path";
import { AppError, type Logger, messageOf, withDeadline } from "@mags/core";
import { type MicroVmId, type MicroVmSize, newMicroVmId } from "@mags/domain";
import type { RuntimeRoot } from "@mags/runtime-root";
import type { CgroupLimits, Cgroups } from "../host/cgroups.ts";
import { removeUnfinishedWrites } from "../host/files.ts";
import { isOrphan, settleOrphans } from "../host/orphans.ts";
import { isAlive, killAndWait, type ProcessIdentity, processesByUid } from "../host/processes.ts";
import type { NamespacePool } from "../network/namespace-pool.ts";
import type { NetworkManager } from "../network/network-manager.ts";
import type { Accelerator } from "../qemu/command-line.ts";
import { createMachine, type Machine } from "../qemu/machine.ts";
import { openQmp } from "../qemu/qmp.ts";
import { spawnQemu } from "../qemu/spawn.ts";
import { type Binding, prepareBinding, writeBinding } from "./binding.ts";
import {
  type FoundRecord,
  type MicroVmPaths,
  type MicroVmRecord,
  pathsOf,
  readRecords,
  writeRecord,
} from "./record.ts";
import type { Tidier } from "./tidier.ts";

export interface MicroVm {
  readonly id: MicroVmId;
  readonly index: number;
  readonly uid: number;
  readonly paths: MicroVmPaths;
  readonly machine: Machine;
  readonly process: ProcessIdentity;
  readonly templateKey: string;
  /** Resolves with a reason for people when this microVM ended or must be ended; never when it is released. */
  readonly lost: Promise<string>;
  /** Aborted with an AppError `microvm_lost` when `lost` resolves: for waits that come and go while the microVM lives. */
  readonly gone: AbortSignal;
  /** Makes `lost` resolve: the guest broke the protocol, say. */
  declareLost(reason: string): void;
}

export interface LaunchSpec {
  readonly templateKey: string;
  readonly args: readonly string[];
  readonly accelerator: Accelerator;
  readonly template: { readonly directory: string; readonly readOnly: boolean };
  readonly imageDirectory: string;
  readonly kernel?: string;
  readonly size: Pick<MicroVmSize, "vcpus" | "memoryMiB">;
  /** Only what others leave of the processors, until `recordParked`. */
  readonly idlePriority: boolean;
}

export interface MicroVmHost {
  /** Starts QEMU and connects to it. */
  launch(spec: LaunchSpec): Promise<MicroVm>;
  /** Connects to a microVM of an earlier process. Rejects when it does not live any more. */
  adopt(record: MicroVmRecord): Promise<MicroVm>;
  /** Writes down that the microVM waits in the pool. */
  recordParked(microVm: MicroVm, parked: { readonly mounted: boolean; readonly size: MicroVmSize }): Promise<void>;
  /** Ties the microVM to a job; on stable storage when this resolves. */
  bind(microVm: MicroVm, binding: Binding): Promise<void>;
  /**
   * Ends the microVM: it does not run any more when this resolves, and what it leaves is removed soon. May be repeated.
   * @param options.lastLook  Called before its namespace is removed.
   */
  release(microVm: MicroVm, options?: { readonly lastLook: () => Promise<void> }): Promise<void>;
  /** Removes what an earlier process left of a microVM. */
  discard(record: MicroVmRecord): Promise<void>;
  /**
   * Records an earlier process left; reserves their numbers. Removes everything that no record claims.
   * @throws AppError `unavailable`, before anything was touched, when a newer version wrote some of them, unless those
   * shall be removed, too.
   */
  sweep(options?: { readonly removeNewer: boolean }): Promise<FoundRecord[]>;
  /** Keys of the templates that living microVMs are made from. */
  templatesInUse(): ReadonlySet<string>;
  /** Those that exist, are made or removed. */
  list(): readonly { readonly id: MicroVmId; readonly index: number; readonly pid: number | null }[];
}

export interface MicroVmHostDeps {
  readonly runtime: RuntimeRoot;
  /** What exists on the host. */
  readonly network: Pick<NetworkManager, "list" | "remove">;
  readonly namespaces: NamespacePool;
  readonly tidier: Tidier;
  /** Null where the host has none that can be used: microVMs are not limited then. */
  readonly cgroups: Cgroups | null;
  readonly log: Logger;
}

export interface MicroVmHostConfig {
  /** Directory of microVMs. Short: sockets lie below it. */
  readonly root: string;
  readonly uidBase: number;
  /** Most microVMs of this node. */
  readonly capacity: number;
  readonly bootId: string;
}

const QMP_DEADLINE_MS = 20_000;
const MIB = 1024 ** 2;
/** What QEMU takes beside the guest's memory, with room to spare: 48 MB parked, 64 MiB more of emulated code at most. */
const QEMU_OVERHEAD_MIB = 256;
/** QEMU's own threads and up to 64 of its I/O; one more a processor. */
const QEMU_THREADS = 128;
const CPU_WEIGHT = 100;

export function createMicroVmHost(deps: MicroVmHostDeps, config: MicroVmHostConfig): MicroVmHost {
  const { runtime, network, namespaces, cgroups, log } = deps;
  const existing = new Map<MicroVmId, { readonly index: number; readonly templateKey: string; pid: number | null }>();
  const ending = new Set<MicroVmId>();
  const bindings = new Map<MicroVmId, FileHandle>();
  const uidOf = (index: number) => config.uidBase + index;
  /** 0 is the number of what is run for the node itself. */
  const isOurs = (index: number) => index >= 0 && index <= config.capacity;

  async function connect(record: MicroVmRecord, process: ProcessIdentity): Promise<MicroVm> {
    const paths = pathsOf(config.root, record.id);
    const qmp = await openQmp(paths.qmpSocket, { signal: AbortSignal.timeout(QMP_DEADLINE_MS) });
    const machine = createMachine(qmp);
    const lost = Promise.withResolvers<string>();
    machine.onGuestEnd(async (end) => lost.resolve(await explainGuestEnd(machine, end)));
    void qmp.closed.then((fault) =>
      lost.resolve(
        fault === null ? "its QEMU process ended unexpectedly" : `its QEMU broke the machine protocol: it ${fault}`,
      ),
    );
    const gone = new AbortController();
    void lost.promise.then((reason) => gone.abort(new AppError("microvm_lost", `the VM was lost: ${reason}`)));
    const { id, index, templateKey } = record;
    return {
      id,
      index,
      templateKey,
      uid: uidOf(index),
      paths,
      machine,
      process,
      lost: lost.promise,
      gone: gone.signal,
      declareLost: lost.resolve,
    };
  }

  function recordOf(
    microVm: Pick<MicroVm, "id" | "index" | "templateKey">,
    process: ProcessIdentity | null,
  ): MicroVmRecord {
    const { id, index, templateKey } = microVm;
    return { version: 1, id, index, templateKey, bootId: config.bootId, process, parked: null };
  }

  /** False when somebody ends it already: its number may be another's by the time that is done. */
  function beginEnding(id: MicroVmId): boolean {
    if (!existing.has(id) || ending.has(id)) return false;
    ending.add(id);
    return true;
  }

  /** Removes what a microVM that does not run leaves behind. */
  async function clear(id: MicroVmId, index: number): Promise<void> {
    await bindings.get(id)?.close();
    bindings.delete(id);
    await cgroups?.remove(id);
    await rm(join(config.root, id), { recursive: true, force: true });
    await namespaces.release(index);
    existing.delete(id);
    ending.delete(id);
  }

  const host: MicroVmHost = {
    async launch(spec) {
      const id = newMicroVmId();
      const namespace = await namespaces.take();
      const { index } = namespace;
      const entry = { index, templateKey: spec.templateKey, pid: null as number | null };
      existing.set(id, entry);
      const paths = pathsOf(config.root, id);
      const identity = { id, index, templateKey: spec.templateKey };
      let process: ProcessIdentity | null = null;
      try {
        await writeRecord(config.root, recordOf(identity, null));
        const uid = uidOf(index);
        await mkdir(paths.jail, { mode: 0o700 });
        await chown(paths.jail, uid, uid);
        bindings.set(id, await prepareBinding(paths.binding));
        process = await spawnQemu(runtime, {
          args: [...spec.args, "-name", id],
          accelerator: spec.accelerator,
          uid,
          network: namespace,
          cgroups: (await cgroups?.create(id, limitsOf(spec))) ?? [],
          jailDirectory: paths.jail,
          imageDirectory: spec.imageDirectory,
          template: spec.template,
          ...(spec.kernel ? { kernel: spec.kernel } : {}),
          logFile: paths.qemuLog,
          idlePriority: spec.idlePriority,
        });
        entry.pid = process.pid;
        const record = recordOf(identity, process);
        const [microVm] = await Promise.all([connect(record, process), writeRecord(config.root, record)]);
        return microVm;
      } catch (error) {
        if (process) await killAndWait(process);
        await clear(id, index);
        throw error;
      }
    },

    async adopt(record) {
      const { process } = record;
      if (!process || record.bootId !== config.bootId || !(await isAlive(process)))
        throw new AppError("microvm_lost", `the QEMU process of ${record.id} is gone`);
      return connect(record, process);
    },

    async recordParked(microVm, parked) {
      await cgroups?.setCpuWeight(microVm.id, CPU_WEIGHT);
      await writeRecord(config.root, { ...recordOf(microVm, microVm.process), parked });
    },

    async bind(microVm, binding) {
      const file = bindings.get(microVm.id) ?? (await open(microVm.paths.binding, "r+"));
      bindings.set(microVm.id, file);
      await writeBinding(file, binding);
    },

    async release({ id, index, process }, options) {
      if (!beginEnding(id)) return;
      await killAndWait(process);
      deps.tidier.add(async () => {
        await options
          ?.lastLook()
          .catch((error: unknown) => log.warn("microvm.last_look_failed", { microVmId: id, error: messageOf(error) }));
        await clear(id, index);
      });
    },

    async discard(record) {
      if (!beginEnding(record.id)) return;
      if (record.process && record.bootId === config.bootId) await killAndWait(record.process);
      await clear(record.id, record.index);
    },

    async sweep({ removeNewer } = { removeNewer: false }) {
      await settleOrphans((uid) => isOurs(uid - config.uidBase));
      const { found, strays, newer } = await readRecords(config.root);
      if (newer.length > 0 && !removeNewer)
        throw new AppError(
          "unavailable",
          `a newer version of Mags made VMs that this one does not know (${newer.map((name) => join(config.root, name)).join(", ")}): install that version again, or end them there with magsd stop --all`,
        );
      const records = found.map(({ record }) => record);
      for (const { id, index, templateKey, process } of records) {
        existing.set(id, { index, templateKey, pid: process?.pid ?? null });
        namespaces.reserve(index);
        await removeUnfinishedWrites(pathsOf(config.root, id).directory);
      }
      const claimed = new Set(records.map((record) => record.index));
      for (const [uid, processes] of await processesByUid()) {
        const index = uid - config.uidBase;
        if (!isOurs(index)) continue;
        const claimedPid = records.find((record) => record.index === index)?.process?.pid;
        for (const process of processes.filter(({ pid }) => pid !== claimedPid)) {
          if (index === 0 && !(await isOrphan(process.pid))) continue; // a check of this machine
          log.warn("microvm.stray_process", { pid: process.pid, uid });
          await killAndWait(process);
        }
      }
      for (const name of (await cgroups?.list()) ?? [])
        if (!records.some(({ id }) => id === name))
          await cgroups
            ?.remove(name)
            .catch((error: unknown) => log.warn("cgroup.not_removed", { name, error: messageOf(error) }));
      for (const index of await network.list()) if (!claimed.has(index)) await network.remove(index);
      for (const name of [...strays, ...newer]) await rm(join(config.root, name), { recursive: true, force: true });
      return found;
    },

    templatesInUse: () =>
      new Set([...existing].flatMap(([id, { templateKey }]) => (ending.has(id) ? [] : [templateKey]))),
    list: () => [...existing].map(([id, { index, pid }]) => ({ id, index, pid })),
  };
  return host;
}

function limitsOf({ size, idlePriority }: LaunchSpec): CgroupLimits {
  return {
    memoryBytes: (size.memoryMiB + QEMU_OVERHEAD_MIB) * MIB,
    cpuWeight: idlePriority ? "idle" : CPU_WEIGHT,
    pids: QEMU_THREADS + size.vcpus,
  };
}

async function explainGuestEnd(machine: Machine, end: string): Promise<string> {
  if (end !== "panicked" && end !== "rebooted") return `the guest ${end}`;
  const console = await withDeadline(machine.consoleTail(), 1_000, () => new Error("no console")).catch(messageOf);
  const cause = /Kernel panic - not syncing: (.{1,300})/.exec(console)?.[1]?.trim();
  // The agent is the guest's first process, whose end the kernel does not survive.
  const lastWords =
    cause?.startsWith("Attempted to kill init") && [...console.matchAll(/mags-agent: (.{1,300})/g)].at(-1);
  if (lastWords) return `the guest's agent ended: ${lastWords[1]?.trim()}`;
  // A panic is seen as a restart where the guest has no device any more to tell of it.
  if (cause || end === "panicked") return `the guest's kernel panicked${cause ? `: ${cause}` : ""}`;
  return `the guest ${end}`;
}
