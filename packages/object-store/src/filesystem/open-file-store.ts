import { mkdir, open, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { AppError, type Clock, systemClock } from "@mags/core";
import type { ObjectStore } from "../object-store.ts";
import { fileError, isMissing } from "./file-errors.ts";
import { createFileStore, isAway } from "./file-store.ts";
import { giveIdentity, identityOf } from "./identity.ts";
import { removeAbandoned } from "./new-file.ts";
import { loadOwners } from "./owner.ts";
import { openTokenLock } from "./token-lock.ts";
import { syncParents } from "./tree.ts";
import { keepsTimes } from "./versions.ts";

export interface FileStoreOptions {
  /** As `makeFileStore` gave it: the folder must be that one. Default: any store will do. */
  readonly identity?: string | undefined;
  readonly clock?: Clock;
  /** How long a write waits for another process that writes. Default: 30 s. */
  readonly patienceMs?: number;
}

const PATIENCE_MS = 30_000;

/**
 * Makes a folder a store, with all above it, and gives it an identity, which it keeps wherever it is moved; of one that
 * is a store already nothing changes. May be repeated.
 * @returns the identity.
 * @throws AppError `object_store_refused` or `disk_full` where it cannot be written.
 */
export async function makeFileStore(directory: string): Promise<string> {
  const [tree, scratch] = foldersOf(directory);
  try {
    for (const folder of [tree, scratch]) await mkdir(folder, { recursive: true, mode: 0o700 });
    const identity = await giveIdentity(directory, join(scratch, (await loadOwners()).ownName()));
    await syncParents(dirname(directory), join(tree, "any"));
    return identity;
  } catch (error) {
    throw fileError(error, `making the object store ${directory}`);
  }
}

/**
 * Opens a folder that is a store, and removes what killed processes were writing. Any number of processes of one machine
 * may have it open.
 * @throws AppError `unavailable` where there is none, or another than is meant: what it lies on may not be mounted;
 *   `object_store_refused` where it cannot be written, or its file system keeps no fine times.
 */
export async function openFileStore(directory: string, options: FileStoreOptions = {}): Promise<ObjectStore> {
  const { identity, clock = systemClock, patienceMs = PATIENCE_MS } = options;
  const [tree, scratch] = foldersOf(directory);
  try {
    await mustBeStore(directory, { tree, identity });
    const owners = await loadOwners();
    await mkdir(scratch, { recursive: true, mode: 0o700 });
    await syncParents(dirname(directory), join(tree, "any"));
    await removeAbandoned(scratch, owners);
    await checkTimes(directory, join(scratch, owners.ownName()));
    const lock = await openTokenLock(join(directory, "lock"), { owners, scratch, patienceMs });
    return createFileStore({ location: directory, tree, lock, newFiles: { directory: scratch, owners, clock } });
  } catch (error) {
    throw fileError(error, `opening the object store ${directory}`);
  }
}

/** Its objects, and what is being written. */
const foldersOf = (directory: string) => [join(directory, "tree"), join(directory, "new")] as const;

async function mustBeStore(
  directory: string,
  { tree, identity }: { readonly tree: string; readonly identity: string | undefined },
): Promise<void> {
  const stats = await stat(tree).catch((error: unknown) => {
    if (!isMissing(error)) throw error;
    return undefined;
  });
  if (!stats?.isDirectory()) throw isAway(directory);
  if (identity !== undefined && (await identityOf(directory)) !== identity)
    throw isAway(directory, "holds another object store than it did: is what belongs there mounted?");
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
