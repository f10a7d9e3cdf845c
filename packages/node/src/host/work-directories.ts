/**
 * Where things lie while they are made, and while they are taken apart: everything in one directory, which each start of
 * the node empties. What a `kill -9` cuts off is found there and nowhere else.
 */
import { randomBytes } from "node:crypto";
import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";

export interface WorkDirectory extends AsyncDisposable {
  readonly path: string;
}

export interface WorkDirectories {
  /** An empty directory that its maker disposes of, with what is still in it. `kind` begins its name. */
  create(kind: string): Promise<WorkDirectory>;
  /** Removes a tree in one step, so that a crash leaves all of it or nothing where it was. One that does not exist is no error. */
  remove(path: string): Promise<void>;
  /** Names of those that are in use. */
  list(): readonly string[];
}

/** Takes over a directory, which must be on the file system of all that is made in it. What an earlier process left there is removed. */
export async function openWorkDirectories(root: string): Promise<WorkDirectories> {
  await mkdir(root, { recursive: true, mode: 0o700 });
  for (const name of await readdir(root)) await rm(join(root, name), { recursive: true, force: true, maxRetries: 3 });
  const inUse = new Set<string>();

  function newName(kind: string): string {
    const name = `${kind}-${randomBytes(6).toString("hex")}`;
    inUse.add(name);
    return name;
  }

  async function discard(name: string): Promise<void> {
    await rm(join(root, name), { recursive: true, force: true, maxRetries: 3 });
    inUse.delete(name);
  }

  return {
    async create(kind) {
      const name = newName(kind);
      const path = join(root, name);
      await mkdir(path, { mode: 0o700 });
      return { path, [Symbol.asyncDispose]: () => discard(name) };
    },
    async remove(path) {
      const name = newName("removed");
      try {
        await rename(path, join(root, name));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
      }
      await discard(name);
    },
    list: () => [...inUse],
  };
}
