/**
 * Writable disks of microVMs: qcow2 files with an ext4 that holds the upper layer of the guest's root. Each is a copy of
 * an empty one of its size, made once and kept: copying 200 KB takes less time than making a file system.
 */
import { constants, existsSync } from "node:fs";
import { chmod, chown, copyFile, mkdir, rename } from "node:fs/promises";
import { join } from "node:path";
import { launchCommand, type RuntimeRoot } from "@mags/runtime-root";
import { run } from "../host/run.ts";
import type { WorkDirectories } from "../host/work-directories.ts";

export const DEFAULT_DISK_GIB = 2;

export interface DiskSpec {
  readonly diskGiB: number;
  /** Whose it is. */
  readonly uid: number;
}

export interface OverlayStore {
  /** Puts an empty disk at `path`. @returns its size in bytes. */
  create(path: string, spec: DiskSpec): Promise<number>;
  /** The same without a file system: what stands on another disk has that one's. */
  createBlank(path: string, spec: DiskSpec): Promise<number>;
}

export interface OverlayStoreDeps {
  readonly runtime: RuntimeRoot;
  readonly work: WorkDirectories;
  /** An empty disk of the default size, which the installation brings. */
  readonly defaultDisk: string;
  /** Other sizes are made by programs that run as this uid. */
  readonly uid: number;
}

const GIB = 1024 ** 3;
const MAKE_DEADLINE_MS = 120_000;

export function createOverlayStore(directory: string, deps: OverlayStoreDeps): OverlayStore {
  const making = new Map<string, Promise<string>>();

  async function make(options: readonly string[], diskGiB: number, target: string): Promise<void> {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    await using work = await deps.work.create("disk");
    await chown(work.path, deps.uid, deps.uid);
    const command = launchCommand(deps.runtime, {
      program: "/bin/sh",
      args: ["/usr/lib/mags/make-disk", ...options, String(diskGiB * GIB), "/vm/disk.qcow2"],
      binds: [{ source: work.path, target: "/vm", readOnly: false }],
      uid: deps.uid,
      gid: deps.uid,
      env: { PATH: "/usr/sbin:/usr/bin" },
    });
    await run(command, { timeoutMs: MAKE_DEADLINE_MS });
    await rename(join(work.path, "disk.qcow2"), target);
  }

  async function ensureEmpty(diskGiB: number): Promise<string> {
    if (diskGiB === DEFAULT_DISK_GIB) return deps.defaultDisk;
    const target = join(directory, `empty-${diskGiB}g.qcow2`);
    if (!existsSync(target)) await make([], diskGiB, target);
    return target;
  }

  /** One maker of a kind at a time; what failed is tried anew. */
  function made(kind: "empty" | "blank", diskGiB: number): Promise<string> {
    const name = `${kind}-${diskGiB}`;
    const known = making.get(name);
    if (known) return known;
    const one = kind === "empty" ? ensureEmpty(diskGiB) : ensureBlank(diskGiB);
    making.set(name, one);
    one.catch(() => making.delete(name));
    return one;
  }

  async function ensureBlank(diskGiB: number): Promise<string> {
    const target = join(directory, `blank-${diskGiB}g.qcow2`);
    if (!existsSync(target)) await make(["--blank"], diskGiB, target);
    return target;
  }

  async function copy(source: string, path: string, { diskGiB, uid }: DiskSpec): Promise<number> {
    await copyFile(source, path, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
    await chmod(path, 0o600);
    await chown(path, uid, uid);
    return diskGiB * GIB;
  }

  return {
    create: async (path, spec) => copy(await made("empty", spec.diskGiB), path, spec),
    createBlank: async (path, spec) => copy(await made("blank", spec.diskGiB), path, spec),
  };
}
