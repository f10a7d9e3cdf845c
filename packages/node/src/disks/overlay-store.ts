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

export interface OverlayStore {
  /** Puts an empty disk at `path`, owned by `uid`. @returns its size in bytes. */
  create(path: string, spec: { readonly diskGiB: number; readonly uid: number }): Promise<number>;
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
  const making = new Map<number, Promise<string>>();

  async function make(diskGiB: number, target: string): Promise<void> {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    await using work = await deps.work.create("disk");
    await chown(work.path, deps.uid, deps.uid);
    const command = launchCommand(deps.runtime, {
      program: "/bin/sh",
      args: ["/usr/lib/mags/make-disk", String(diskGiB * GIB), "/vm/disk.qcow2"],
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
    if (!existsSync(target)) await make(diskGiB, target);
    return target;
  }

  function empty(diskGiB: number): Promise<string> {
    const known = making.get(diskGiB);
    if (known) return known;
    const made = ensureEmpty(diskGiB);
    making.set(diskGiB, made);
    made.catch(() => making.delete(diskGiB));
    return made;
  }

  return {
    async create(path, { diskGiB, uid }) {
      await copyFile(await empty(diskGiB), path, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
      await chmod(path, 0o600);
      await chown(path, uid, uid);
      return diskGiB * GIB;
    },
  };
}
