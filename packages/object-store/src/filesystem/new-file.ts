/** A file that is written before it has its place. */
import type { BigIntStats } from "node:fs";
import { type FileHandle, open, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "@mags/core";
import type { Owners } from "./owner.ts";
import { setTime } from "./versions.ts";

/** Disposing it removes the file, unless it has been placed. */
export interface NewFile extends AsyncDisposable {
  /** Gives it the name `path`, in place of what had it: `replaced`. @returns what the file is then. */
  placeAt(path: string, replaced: BigIntStats | undefined): Promise<BigIntStats>;
}

export interface NewFileDeps {
  readonly directory: string;
  readonly owners: Owners;
  readonly clock: Clock;
}

/** Writes bytes to stable storage. */
export async function writeNewFile(
  { directory, owners, clock }: NewFileDeps,
  bytes: Uint8Array,
  { signal }: { readonly signal?: AbortSignal | undefined },
): Promise<NewFile> {
  const temporary = join(directory, owners.ownName());
  const file = await open(temporary, "wx", 0o600);
  let placed = false;

  async function dispose(): Promise<void> {
    await file.close();
    if (!placed) await rm(temporary, { force: true });
  }

  try {
    await writeWhole(file, bytes, signal);
    const written = await setTime(file, { clock });
    await file.sync();
    return {
      async placeAt(path, replaced) {
        const late = replaced !== undefined && written.mtimeNs <= replaced.mtimeNs;
        const stats = late ? await setTime(file, { clock, replaced }) : written;
        await rename(temporary, path);
        placed = true;
        return stats;
      },
      [Symbol.asyncDispose]: dispose,
    };
  } catch (error) {
    await dispose();
    throw error;
  }
}

/** Removes what processes that are gone were writing. */
export async function removeAbandoned(directory: string, owners: Owners): Promise<void> {
  for (const name of await readdir(directory))
    if (await owners.isAbandoned(name)) await rm(join(directory, name), { recursive: true, force: true });
}

const PIECE_BYTES = 4 * 1024 * 1024;

async function writeWhole(file: FileHandle, bytes: Uint8Array, signal: AbortSignal | undefined): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    signal?.throwIfAborted();
    const { bytesWritten } = await file.write(bytes, done, Math.min(PIECE_BYTES, bytes.length - done));
    done += bytesWritten;
  }
}
