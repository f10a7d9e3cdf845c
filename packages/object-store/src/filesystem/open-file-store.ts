import { mkdir, open, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { AppError, type Clock, systemClock } from "@mags/core";
import type { ObjectStore } from "../object-store.ts";
import { fileError } from "./file-errors.ts";
import { createFileStore } from "./file-store.ts";
import { removeAbandoned } from "./new-file.ts";
import { loadOwners } from "./owner.ts";
import { openTokenLock } from "./token-lock.ts";
import { syncParents } from "./tree.ts";
import { keepsTimes } from "./versions.ts";

export interface FileStoreOptions {
  readonly clock?: Clock;
  /** How long a write waits for another process that writes. Default: 30 s. */
  readonly patienceMs?: number;
}

const PATIENCE_MS = 30_000;

/**
 * Opens a folder as a store, making it if need be, and removes what killed processes were writing. Any number of
 * processes of one machine may have it open.
 * @throws AppError `object_store_refused` where it cannot be written, or its file system keeps no fine times.
 */
export async function openFileStore(directory: string, options: FileStoreOptions = {}): Promise<ObjectStore> {
  const { clock = systemClock, patienceMs = PATIENCE_MS } = options;
  const [tree, scratch] = [join(directory, "tree"), join(directory, "new")];
  try {
    const owners = await loadOwners();
    for (const folder of [tree, scratch]) await mkdir(folder, { recursive: true, mode: 0o700 });
    await syncParents(dirname(directory), join(tree, "any"));
    await removeAbandoned(scratch, owners);
    await checkTimes(directory, join(scratch, owners.ownName()));
    const lock = await openTokenLock(join(directory, "lock"), { owners, scratch, patienceMs });
    return createFileStore({ location: directory, tree, lock, newFiles: { directory: scratch, owners, clock } });
  } catch (error) {
    throw fileError(error, `opening the object store ${directory}`);
  }
}

async function checkTimes(directory: string, path: string): Promise<void> {
  try {
    await using file = await open(path, "wx", 0o600);
    if (await keepsTimes(file)) return;
  } finally {
    await rm(path, { force: true });
  }
  throw new AppError(
    "object_store_refused",
    `the file system of ${directory} keeps times of change in steps too long to tell versions of an object by: use ext4, XFS, Btrfs or ZFS`,
  );
}
