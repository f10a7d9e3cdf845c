/**
 * Control groups of microVMs: what one may take of the host's memory, processors and process numbers. Works with the
 * unified hierarchy (v2) and with one hierarchy per controller (v1), as the host has mounted them; hybrid hosts, whose
 * controllers are v1, count as v1.
 */
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, rmdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { AppError, sleep } from "@mags/core";

export interface CgroupLimits {
  readonly memoryBytes: number;
  /** Share of the processors when they are short: 1 to 10 000, 100 being everybody's default; `idle`: what others leave. */
  readonly cpuWeight: number | "idle";
  /** Most processes and threads. */
  readonly pids: number;
}

export interface Cgroups {
  readonly version: 1 | 2;
  /** Makes a group, or takes an empty one that is there. @returns the `cgroup.procs` files to enter it by. */
  create(name: string, limits: CgroupLimits): Promise<readonly string[]>;
  setCpuWeight(name: string, cpuWeight: CgroupLimits["cpuWeight"]): Promise<void>;
  /** Removes a group whose processes have ended; one that does not exist is no error. */
  remove(name: string): Promise<void>;
  /** Names of the groups that exist. */
  list(): Promise<string[]>;
  /** Removes all groups and the one that they are in, but for those in which something runs: those are another's. */
  removeAll(): Promise<void>;
}

const CONTROLLERS = ["memory", "cpu", "pids"] as const;
type Controller = (typeof CONTROLLERS)[number];

/** Processes that were killed leave a moment later. */
const BUSY_TRIES = 50;
const BUSY_PAUSE_MS = 10;

/** The group of the process that keeps a delegated group there: apps/magsd/systemd. */
export const KEEPER = "keeper";
/** That of the node's block server. */
export const BLOCKS_GROUP = "blocks";

/** Where the controllers are mounted: one folder in all under v2, one each under v1. */
export interface CgroupMounts {
  readonly version: 1 | 2;
  readonly folders: ReadonlyMap<Controller, string>;
}

/**
 * @param mounts  The text of /proc/self/mounts.
 * @param unifiedControllers  The text of the cgroup.controllers of a v2 mount.
 * @throws AppError `unavailable` when a controller is not mounted in either way.
 */
export async function findCgroupMounts(
  mounts: string,
  unifiedControllers: (mount: string) => Promise<string>,
): Promise<CgroupMounts> {
  const entries = mounts.split("\n").map((line) => line.split(" "));
  const unified = entries.find(([, , type]) => type === "cgroup2")?.[1];
  if (unified) {
    const offered = (await unifiedControllers(unified)).trim().split(" ");
    if (CONTROLLERS.every((name) => offered.includes(name)))
      return { version: 2, folders: new Map([["memory", unified]]) };
  }
  const folders = new Map<Controller, string>();
  for (const controller of CONTROLLERS) {
    const folder = entries.find(
      ([, , type, options = ""]) => type === "cgroup" && options.split(",").includes(controller),
    )?.[1];
    if (!folder) throw new AppError("unavailable", `the cgroup controller ${controller} is not mounted`);
    folders.set(controller, folder);
  }
  return { version: 1, folders };
}

function hostCgroupMounts(): Promise<CgroupMounts> {
  return readFile("/proc/self/mounts", "utf8").then((mounts) =>
    findCgroupMounts(mounts, (mount) => readFile(join(mount, "cgroup.controllers"), "utf8")),
  );
}

/** Where the host has mounted its control groups; nothing where it has none that can be used. */
export async function cgroupFolders(): Promise<string[]> {
  const mounts = await hostCgroupMounts().catch(() => undefined);
  return [...new Set(mounts?.folders.values())];
}

/**
 * The group that all groups of an installation are in, below each of the mounts. systemd owns the tree where it runs: it
 * has delegated a unit's group to us then, which it made and removes.
 */
export function groupOf(
  prefix: string,
  mounts: readonly string[],
): { readonly name: string; readonly delegated: boolean } {
  const unit = `${prefix}.slice/${prefix}-vms.service`;
  const delegated = mounts.length > 0 && mounts.every((mount) => existsSync(join(mount, unit)));
  return { name: delegated ? unit : prefix, delegated };
}

/** `swap`: under v1 it bounds memory and swap together. Names of the files, and the least share there is, which stands in for `idle` on kernels before 5.15. */
const FILES = {
  1: {
    memory: "memory.limit_in_bytes",
    swap: "memory.memsw.limit_in_bytes",
    cpu: "cpu.shares",
    perWeight: 10.24,
    least: 2,
  },
  2: { memory: "memory.max", swap: "memory.swap.max", cpu: "cpu.weight", perWeight: 1, least: 1 },
} as const;

/**
 * @param prefix  Name of the group that all groups of this installation are in.
 * @throws AppError `unavailable` when the host's control groups cannot be used.
 */
export async function openCgroups(prefix: string): Promise<Cgroups> {
  const { version, folders } = await hostCgroupMounts();
  const files = FILES[version];
  const { delegated, name } = groupOf(prefix, [...folders.values()]);
  const parents = [...new Set(folders.values())].map((folder) => join(folder, name));
  const folderOf = (controller: Controller) => join(folders.get(version === 2 ? "memory" : controller) ?? "", name);
  try {
    for (const parent of parents) {
      await mkdir(parent, { recursive: true });
      if (version === 1) continue;
      const enabled = CONTROLLERS.map((controller) => `+${controller}`).join(" ");
      if (!delegated) await writeFile(join(parent, "..", "cgroup.subtree_control"), enabled);
      // The unit's process may still be on its way to its own group.
      await whenNotBusy(() => writeFile(join(parent, "cgroup.subtree_control"), enabled));
    }
  } catch (cause) {
    throw new AppError("unavailable", `control groups cannot be made in ${parents.join(", ")}`, { cause });
  }

  const cgroups: Cgroups = {
    version,
    async create(name, limits) {
      for (const parent of parents) await mkdir(join(parent, name), { recursive: true });
      await limitMemory(join(folderOf("memory"), name), { version, memoryBytes: limits.memoryBytes });
      await writeFile(join(folderOf("pids"), name, "pids.max"), String(limits.pids));
      await cgroups.setCpuWeight(name, limits.cpuWeight);
      return parents.map((parent) => join(parent, name, "cgroup.procs"));
    },
    async setCpuWeight(name, cpuWeight) {
      const folder = join(folderOf("cpu"), name);
      const canIdle = await writeFile(join(folder, "cpu.idle"), cpuWeight === "idle" ? "1" : "0").then(
        () => true,
        () => false,
      );
      if (cpuWeight === "idle" && canIdle) return;
      const share = cpuWeight === "idle" ? files.least : Math.round(cpuWeight * files.perWeight);
      await writeFile(join(folder, files.cpu), String(share));
    },
    async remove(name) {
      for (const parent of parents) await removeFolder(join(parent, name));
    },
    async list() {
      const names = await Promise.all(
        parents.map(async (parent) => {
          const entries = await readdir(parent, { withFileTypes: true });
          return entries.flatMap((entry) => (entry.isDirectory() && entry.name !== KEEPER ? [entry.name] : []));
        }),
      );
      return [...new Set(names.flat())];
    },
    async removeAll() {
      for (const name of await cgroups.list()) await cgroups.remove(name).catch(unlessBusy);
      if (!delegated) for (const parent of parents) await removeFolder(parent).catch(unlessBusy);
    },
  };
  return cgroups;
}

/** Bounds memory, and takes swap away: what a group is not given must not wander there. Kernels can be without that file. */
export async function limitMemory(
  folder: string,
  { version, memoryBytes }: { readonly version: 1 | 2; readonly memoryBytes: number },
): Promise<void> {
  const { memory, swap } = FILES[version];
  await writeFile(join(folder, memory), String(memoryBytes), { flag: "r+" });
  try {
    // After the limit on memory: v1 refuses one on both that is below it.
    await writeFile(join(folder, swap), version === 1 ? String(memoryBytes) : "0", { flag: "r+" });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
}

function unlessBusy(error: unknown): void {
  if ((error as NodeJS.ErrnoException).code !== "EBUSY") throw error;
}

/** One that does not exist is no error. */
async function removeFolder(path: string): Promise<void> {
  try {
    await whenNotBusy(() => rmdir(path));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
}

async function whenNotBusy(act: () => Promise<void>): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      return await act();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EBUSY" || tries === BUSY_TRIES) throw error;
      await sleep(BUSY_PAUSE_MS);
    }
  }
}
