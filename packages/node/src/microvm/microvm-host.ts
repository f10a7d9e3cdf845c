/**
 * Makes microVMs and removes them, with all that belongs to one: number, uid, namespace, directory, record, process. Whatever
 * happens between, `release` leaves nothing behind; after a crash `sweep` does the same for what no record claims.
 */
import { type FileHandle, open, rm } from "node:fs/promises";
import { join } from "node:path";
import { AppError, isAlive, killAndWait, type Logger, messageOf, type ProcessIdentity } from "@mags/core";
import { type MicroVmId, type MicroVmSize, newMicroVmId } from "@mags/domain";
import { fileLimitCommand, type RuntimeRoot } from "@mags/runtime-root";
import type { Cgroups } from "../host/cgroups.ts";
import { run } from "../host/run.ts";
import type { NamespacePool } from "../network/namespace-pool.ts";
import type { NetworkManager } from "../network/network-manager.ts";
import type { Accelerator } from "../qemu/command-line.ts";
import type { Machine } from "../qemu/machine.ts";
import { type SpawnedQemu, spawnQemu } from "../qemu/spawn.ts";
import { type Binding, clearBinding, prepareBinding, writeBinding } from "./binding.ts";
import { type CleanupStep, createCleanup } from "./cleanup.ts";
import { connectMicroVm, endSoon } from "./connect.ts";
import { linkFileFor, makeFileFor, makeJailDirectory } from "./jail-directory.ts";
import { CPU_WEIGHT, cgroupLimits, microVmFileBytes, processLimits } from "./limits.ts";
import { type FoundRecord, type MicroVmPaths, type MicroVmRecord, pathsOf, writeRecord } from "./record.ts";
import { sweepMicroVms } from "./sweep.ts";
import type { Tidier } from "./tidier.ts";

export interface MicroVm {
  readonly id: MicroVmId;
  readonly index: number;
  readonly uid: number;
  readonly paths: MicroVmPaths;
  readonly machine: Machine;
  readonly process: ProcessIdentity;
  /** Null when it was woken. */
  readonly templateKey: string | null;
  /** Resolves with a reason for people when this microVM ended or must be ended; never when it is released. */
  readonly lost: Promise<string>;
  /** Aborted with an AppError `microvm_lost` when `lost` resolves: for waits that come and go while the microVM lives. */
  readonly gone: AbortSignal;
  /** Makes `lost` resolve: the guest broke the protocol, say. */
  declareLost(reason: string): void;
}

export interface LaunchSpec {
  /** Null for one that wakes. */
  readonly templateKey: string | null;
  readonly args: readonly string[];
  readonly accelerator: Accelerator;
  readonly template: {
    readonly directory: string;
    /** Files to be made there, empty, for QEMU to write. Others in there it can read, and make none. */
    readonly writable: readonly string[];
  } | null;
  /** Files on the same file system, linked into its jail by these names before it starts; its from then on. */
  readonly files?: readonly { readonly source: string; readonly name: string }[];
  /** Puts more into its jail before it starts. */
  readonly furnish?: (place: { readonly jail: string; readonly uid: number }) => Promise<void>;
  readonly imageDirectory: string;
  readonly kernel?: string;
  readonly size: Pick<MicroVmSize, "vcpus" | "memoryMiB">;
  /** Most bytes of any file that QEMU writes, and how far that may be changed later. */
  readonly maxFileBytes: number;
  readonly mostFileBytes: number;
  /** Only what others leave of the processors, until `recordParked`. */
  readonly idlePriority: boolean;
}

export interface MicroVmHost extends AsyncDisposable {
  /** Starts QEMU and connects to it. */
  launch(spec: LaunchSpec): Promise<MicroVm>;
  /** Connects to a microVM of an earlier process. Rejects when it does not live any more. */
  adopt(record: MicroVmRecord): Promise<MicroVm>;
  /** Writes down that the microVM waits in the pool. */
  recordParked(microVm: MicroVm, parked: { readonly mounted: boolean; readonly size: MicroVmSize }): Promise<void>;
  /** Says that the microVM's disk is of that size, where it was launched for another one. */
  limitDisk(microVm: MicroVm, size: Pick<MicroVmSize, "memoryMiB" | "diskGiB">): Promise<void>;
  /** Ties the microVM to a job; on stable storage when this resolves. */
  bind(microVm: MicroVm, binding: Binding): Promise<void>;
  /** Takes that back, before anything was asked of the guest. */
  unbind(microVm: MicroVm): Promise<void>;
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
  /** Those that exist, are made or removed. One of which something could not be removed is none until it can. */
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

export function createMicroVmHost(deps: MicroVmHostDeps, config: MicroVmHostConfig): MicroVmHost {
  const { runtime, network, namespaces, cgroups, log } = deps;
  const existing = new Map<
    MicroVmId,
    { readonly index: number; readonly templateKey: string | null; pid: number | null }
  >();
  const ending = new Set<MicroVmId>();
  /** Of which something could not be removed so far. */
  const remaining = new Set<MicroVmId>();
  const bindings = new Map<MicroVmId, FileHandle>();
  const uidOf = (index: number) => config.uidBase + index;

  const connect = (record: MicroVmRecord, process: ProcessIdentity, qemu?: SpawnedQemu) =>
    connectMicroVm(
      { id: record.id, index: record.index, templateKey: record.templateKey, uid: uidOf(record.index) },
      { paths: pathsOf(config.root, record.id), process, ...(qemu && { qemu }) },
      {
        onQemuEnd: (end) => {
          if (existing.has(record.id) && !ending.has(record.id))
            log.warn("microvm.qemu_ended", { microVmId: record.id, ...end });
        },
      },
    );

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

  /** Removes what a microVM leaves behind, once it runs no more. May be repeated until it resolves. */
  function cleanupOf(
    { id, index, process }: { id: MicroVmId; index: number; process: ProcessIdentity | null },
    lastLook: CleanupStep = async () => {},
  ): () => Promise<void> {
    const clean = createCleanup([
      lastLook,
      async () => bindings.get(id)?.close(),
      async () => cgroups?.remove(id),
      () => rm(join(config.root, id), { recursive: true, force: true }),
      () => namespaces.release(index),
    ]);
    return async () => {
      try {
        if (process) await killAndWait(process);
        await clean();
      } catch (error) {
        remaining.add(id);
        throw new Error(`${id} could not be removed: ${messageOf(error)}`, { cause: error });
      }
      bindings.delete(id);
      for (const set of [existing, ending, remaining]) set.delete(id);
    };
  }

  /** @throws what failed, which is tried again later. */
  async function removeNow(cleanup: () => Promise<void>): Promise<void> {
    try {
      await cleanup();
    } catch (error) {
      deps.tidier.addUntilDone(cleanup);
      throw error;
    }
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
      let qemu: SpawnedQemu | undefined;
      try {
        await writeRecord(config.root, recordOf(identity, null));
        const uid = uidOf(index);
        await makeJailDirectory(paths.jail, uid);
        for (const name of spec.template?.writable ?? [])
          await makeFileFor(uid, join(spec.template?.directory ?? "", name));
        for (const { source, name } of spec.files ?? []) await linkFileFor(uid, source, join(paths.jail, name));
        await spec.furnish?.({ jail: paths.jail, uid });
        bindings.set(id, await prepareBinding(paths.binding));
        qemu = await spawnQemu(runtime, {
          args: [...spec.args, "-name", id],
          accelerator: spec.accelerator,
          uid,
          network: namespace,
          cgroups: (await cgroups?.create(id, cgroupLimits(spec.size, { idle: spec.idlePriority }))) ?? [],
          jailDirectory: paths.jail,
          imageDirectory: spec.imageDirectory,
          template: spec.template && {
            directory: spec.template.directory,
            writable: spec.template.writable.length > 0,
          },
          ...(spec.kernel ? { kernel: spec.kernel } : {}),
          sockets: { qmp: paths.qmpSocket, control: paths.controlSocket, bulk: paths.bulkSocket },
          limits: processLimits(spec.size, { fileBytes: spec.maxFileBytes, mostFileBytes: spec.mostFileBytes }),
          idlePriority: spec.idlePriority,
        });
        entry.pid = qemu.process.pid;
        const record = recordOf(identity, qemu.process);
        const [connected, written] = await Promise.allSettled([
          connect(record, qemu.process, qemu),
          // Not left under way when connecting fails: it would put its file into the directory that is removed.
          writeRecord(config.root, record),
        ]);
        if (connected.status === "rejected") throw connected.reason;
        if (written.status === "rejected") throw written.reason;
        return connected.value;
      } catch (cause) {
        const end = await endSoon(qemu);
        ending.add(id);
        const failed = await removeNow(cleanupOf({ id, index, process: qemu?.process ?? null })).catch(messageOf);
        if (failed) log.warn("microvm.not_removed", { microVmId: id, error: failed });
        if (!end) throw cause;
        throw new AppError("microvm_lost", `QEMU ${end.how} at its start: ${end.output}`, { cause });
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

    async limitDisk(microVm, size) {
      const { process, uid } = microVm;
      await run(fileLimitCommand(runtime, { pid: process.pid, uid, gid: uid }, microVmFileBytes(size, size.diskGiB)));
    },

    async bind(microVm, binding) {
      const file = bindings.get(microVm.id) ?? (await open(microVm.paths.binding, "r+"));
      bindings.set(microVm.id, file);
      await writeBinding(file, binding);
    },

    async unbind({ id }) {
      const file = bindings.get(id);
      if (file) await clearBinding(file);
    },

    async release({ id, index, process }, options) {
      if (!beginEnding(id)) return;
      const lastLook = async () =>
        options
          ?.lastLook()
          .catch((error: unknown) => log.warn("microvm.last_look_failed", { microVmId: id, error: messageOf(error) }));
      try {
        await killAndWait(process);
      } finally {
        deps.tidier.addUntilDone(cleanupOf({ id, index, process }, lastLook));
      }
    },

    async discard(record) {
      if (!beginEnding(record.id)) return;
      const process = record.bootId === config.bootId ? record.process : null;
      await removeNow(cleanupOf({ ...record, process }));
    },

    async sweep({ removeNewer } = { removeNewer: false }) {
      const found = await sweepMicroVms({ runtime, network, cgroups, log }, config, { removeNewer });
      for (const { record } of found) {
        const { id, index, templateKey, process } = record;
        existing.set(id, { index, templateKey, pid: process?.pid ?? null });
        namespaces.reserve(index);
      }
      return found;
    },

    templatesInUse: () =>
      new Set(
        [...existing].flatMap(([id, { templateKey }]) => (ending.has(id) || templateKey === null ? [] : [templateKey])),
      ),
    // MicroVMs run on; what this process holds of them is its own.
    async [Symbol.asyncDispose]() {
      for (const file of bindings.values()) await file.close();
      bindings.clear();
    },
    list: () => [...existing].flatMap(([id, { index, pid }]) => (remaining.has(id) ? [] : [{ id, index, pid }])),
  };
  return host;
}
