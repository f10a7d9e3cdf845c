/**
 * Writable disks of microVMs: qcow2 files with an ext4 that holds the upper layer of the guest's root. Each is a copy of
 * an empty one of its size, made once and kept: copying 200 KB takes less time than making a file system.
 */
import { constants, existsSync } from "node:fs";
import { chmod, chown, copyFile, mkdir, mkdtemp, rename, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type RuntimeRoot, toolCommand } from "@mags/runtime-root";
import { run } from "../host/run.ts";

export const DEFAULT_DISK_GIB = 2;

export interface OverlayStore {
  /** Puts an empty disk at `path`, owned by `uid`. @returns its size in bytes. */
  create(path: string, spec: { readonly diskGiB: number; readonly uid: number }): Promise<number>;
}

export function createOverlayStore(directory: string, deps: { readonly runtime: RuntimeRoot }): OverlayStore {
  const building = new Map<number, Promise<string>>();

  async function build(diskGiB: number, target: string): Promise<void> {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const work = await mkdtemp(join(directory, "build-"));
    try {
      const raw = join(work, "disk.raw");
      const tree = join(work, "tree");
      for (const name of ["up", "work"]) await mkdir(join(tree, name), { recursive: true, mode: 0o755 });
      await chmod(tree, 0o755);
      await writeFile(raw, "");
      await truncate(raw, diskGiB * 1024 ** 3);
      const options = "nodiscard,lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0";
      await run(
        toolCommand(deps.runtime, "/usr/sbin/mkfs.ext4", ["-q", "-F", "-m", "0", "-E", options, "-d", tree, raw]),
        { timeoutMs: 120_000 },
      );
      const image = join(work, "disk.qcow2");
      await run(toolCommand(deps.runtime, "/usr/bin/qemu-img", ["convert", "-O", "qcow2", raw, image]), {
        timeoutMs: 120_000,
      });
      await rename(image, target);
    } finally {
      await rm(work, { recursive: true, force: true });
    }
  }

  async function ensure(diskGiB: number): Promise<string> {
    const target = join(directory, `empty-${diskGiB}g.qcow2`);
    if (!existsSync(target)) await build(diskGiB, target);
    return target;
  }

  function seed(diskGiB: number): Promise<string> {
    const known = building.get(diskGiB);
    if (known) return known;
    const made = ensure(diskGiB);
    building.set(diskGiB, made);
    made.catch(() => building.delete(diskGiB));
    return made;
  }

  return {
    async create(path, { diskGiB, uid }) {
      await copyFile(await seed(diskGiB), path, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
      await chmod(path, 0o600);
      await chown(path, uid, uid);
      return diskGiB * 1024 ** 3;
    },
  };
}
