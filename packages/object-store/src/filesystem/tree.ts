/** Folders and files of a tree whose paths are keys. */
import { constants, type Dirent } from "node:fs";
import { mkdir, open, readdir, rmdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { errnoOf, isMissing } from "./file-errors.ts";

/** Makes the folders above a file. @throws EEXIST or ENOTDIR where a file is in the way. */
export async function makeParents(path: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
}

/** Removes the folders above a file up to `root`, as far as they are empty. */
export async function removeEmptyParents(root: string, path: string): Promise<void> {
  try {
    for (let folder = dirname(path); folder !== root; folder = dirname(folder)) await rmdir(folder);
  } catch (error) {
    if (!["ENOTEMPTY", "EEXIST", "ENOENT", "ENOTDIR"].includes(errnoOf(error))) throw error;
  }
}

/** Brings the names above a file, up to `root`, to stable storage. Folders that are gone need none. */
export async function syncParents(root: string, path: string): Promise<void> {
  const folders = [root];
  for (let folder = dirname(path); folder !== root; folder = dirname(folder)) folders.push(folder);
  await Promise.all(folders.map(syncFolder));
}

async function syncFolder(folder: string): Promise<void> {
  try {
    await using file = await open(folder, constants.O_RDONLY | constants.O_DIRECTORY);
    await file.sync();
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
}

/**
 * The keys of the files of a tree, in the order of their bytes. `wants` tells, for a folder as its path with a slash at
 * the end, whether to look into it.
 */
export async function* keysBelow(root: string, wants: (folder: string) => boolean, below = ""): AsyncGenerator<string> {
  for (const { name, isFolder } of await entriesOf(join(root, below))) {
    const key = below + name;
    if (!isFolder) yield key;
    else if (wants(`${key}/`)) yield* keysBelow(root, wants, `${key}/`);
  }
}

interface Entry {
  readonly name: string;
  readonly isFolder: boolean;
}

/** In the order of the keys they are, or hold: a folder stands where its name with a slash does. */
async function entriesOf(folder: string): Promise<readonly Entry[]> {
  let entries: Dirent[];
  try {
    entries = await readdir(folder, { withFileTypes: true });
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
  return entries
    .filter((entry) => entry.isFile() || entry.isDirectory())
    .map((entry) => ({ name: entry.name, isFolder: entry.isDirectory() }))
    .map((entry) => ({ ...entry, order: Buffer.from(entry.isFolder ? `${entry.name}/` : entry.name) }))
    .toSorted((a, b) => Buffer.compare(a.order, b.order));
}
