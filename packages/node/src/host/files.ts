import { randomBytes } from "node:crypto";
import { type FileHandle, open, readdir, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";

/**
 * Replaces a file so that a crash leaves the old content or the new, never a mixture: temporary file, fsync, rename,
 * fsync of the directory.
 */
export async function writeFileDurably(path: string, content: string | Buffer, mode = 0o600): Promise<void> {
  const temporary = `${path}.${randomBytes(4).toString("hex")}.tmp`;
  try {
    const file = await open(temporary, "wx", mode);
    try {
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncPath(dirname(path));
}

/** As `writeFileDurably` for a crash of this process; after a power cut the file may be missing. */
export async function writeFileAtomically(path: string, content: string, mode = 0o600): Promise<void> {
  const temporary = `${path}.${randomBytes(4).toString("hex")}.tmp`;
  try {
    await writeFile(temporary, content, { flag: "wx", mode });
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/** Removes what writes into this directory have left that were cut off. */
export async function removeUnfinishedWrites(directory: string): Promise<void> {
  for (const name of await readdir(directory))
    if (/\.[0-9a-f]{8}\.tmp$/.test(name)) await rm(join(directory, name), { force: true });
}

/** Resolves when what a file or directory holds is on stable storage, whoever wrote it. */
export async function syncPath(path: string): Promise<void> {
  let file: FileHandle | undefined;
  try {
    file = await open(path, "r");
    await file.sync();
  } finally {
    await file?.close();
  }
}
