/**
 * Objects as files of a folder, for one machine. Layout and what a crash leaves: docs/formats/object-folder.md.
 *
 * A write makes a file elsewhere in the same file system, syncs it and renames it to its place. What looks before it
 * changes something, as every write and removal does, does so under a lock of all processes of the machine, for the
 * moment of the look and the rename. Readers need none: a file that is open stays as it was.
 */
import { type BigIntStats, constants } from "node:fs";
import { type FileHandle, lstat, open, stat, unlink } from "node:fs/promises";
import { join } from "node:path";
import { AppError } from "@mags/core";
import {
  checkKey,
  checkPrefix,
  checkRange,
  checkSize,
  compareKeys,
  conditionFailed,
  folderInTheWay,
  isKey,
  notFound,
  rangeBeyond,
} from "../keys.ts";
import type { ObjectStore, PutOptions } from "../object-store.ts";
import { errnoOf, fileError, isMissing } from "./file-errors.ts";
import { type NewFileDeps, writeNewFile } from "./new-file.ts";
import type { TokenLock } from "./token-lock.ts";
import { keysBelow, makeParents, removeEmptyParents, syncParents } from "./tree.ts";
import { etagOf, headOf } from "./versions.ts";

export interface FileStoreDeps {
  readonly location: string;
  /** Its files are the objects. */
  readonly tree: string;
  readonly lock: TokenLock;
  readonly newFiles: NewFileDeps;
}

export function createFileStore({ location, tree, lock, newFiles }: FileStoreDeps): ObjectStore {
  const pathOf = (key: string) => join(tree, key);

  function checkCondition(key: string, current: BigIntStats | undefined, { ifAbsent, ifMatch }: PutOptions): void {
    if (ifAbsent && current) throw conditionFailed(key, location);
    if (ifMatch !== undefined && (!current || etagOf(current) !== ifMatch)) throw conditionFailed(key, location);
  }

  /** A folder that was there when the store was opened, and is not: what it is mounted from is away, and no object is lost. */
  async function mustBeThere(): Promise<void> {
    const stats = await stat(tree).catch((error: unknown) => {
      if (!isMissing(error)) throw error;
      return undefined;
    });
    if (!stats?.isDirectory()) throw isAway(location);
  }

  return {
    location,

    async get(key, { range, signal } = {}) {
      checkKey(key);
      if (range) checkRange(range);
      return attempt(`reading ${key}`, async () => {
        signal?.throwIfAborted();
        await using file = await openIfThere(pathOf(key));
        const stats = await file?.stat({ bigint: true });
        if (!file || !stats?.isFile()) {
          await mustBeThere();
          throw notFound(key, location);
        }
        const { start, end } = range ?? { start: 0, end: Number(stats.size) };
        if (end > Number(stats.size)) throw rangeBeyond(key, { start, end });
        checkSize(key, end - start);
        const bytes = Buffer.allocUnsafeSlow(end - start);
        await readWhole(file, bytes, { from: start, signal });
        return { bytes, etag: etagOf(stats) };
      });
    },

    async head(key, { signal } = {}) {
      checkKey(key);
      return attempt(`looking at ${key}`, async () => {
        signal?.throwIfAborted();
        const stats = await look(pathOf(key));
        if (!stats) await mustBeThere();
        return stats && headOf(stats);
      });
    },

    async put(key, bytes, options = {}) {
      checkKey(key);
      checkSize(key, bytes.length);
      const { signal } = options;
      const path = pathOf(key);
      return attempt(`writing ${key}`, async () => {
        signal?.throwIfAborted();
        await mustBeThere();
        checkCondition(key, await look(path), options); // before all the bytes are written in vain
        await using file = await writeNewFile(newFiles, bytes, { signal });
        const place = async () => {
          const current = await look(path);
          checkCondition(key, current, options);
          try {
            await makeParents(path);
            return await file.placeAt(path, current);
          } catch (error) {
            await removeEmptyParents(tree, path);
            throw isInTheWay(error) ? folderInTheWay(key) : error;
          }
        };
        const stats = await lock.hold(place, { signal });
        await syncParents(tree, path);
        return { etag: etagOf(stats) };
      });
    },

    async delete(key, { signal } = {}) {
      checkKey(key);
      const path = pathOf(key);
      await attempt(`removing ${key}`, async () => {
        signal?.throwIfAborted();
        await mustBeThere();
        const remove = async () => {
          if (!(await look(path))) return;
          await unlink(path);
          await removeEmptyParents(tree, path);
        };
        if (await look(path)) await lock.hold(remove, { signal });
        // Also what was removed before, perhaps by a call that was cut off, is to be gone for good.
        await syncParents(tree, path);
      });
    },

    async *list(prefix, { after, signal } = {}) {
      checkPrefix(prefix);
      const mayHold = (folder: string) =>
        (folder.startsWith(prefix) || prefix.startsWith(folder)) &&
        (after === undefined || after.startsWith(folder) || compareKeys(folder, after) > 0);
      const isWanted = (key: string) =>
        key.startsWith(prefix) && isKey(key) && (after === undefined || compareKeys(key, after) > 0);
      try {
        await mustBeThere();
        for await (const key of keysBelow(tree, mayHold, prefix.slice(0, prefix.lastIndexOf("/") + 1))) {
          signal?.throwIfAborted();
          const stats = isWanted(key) ? await look(pathOf(key)) : undefined;
          if (stats) yield { key, sizeBytes: Number(stats.size), modifiedAt: stats.mtime };
        }
      } catch (error) {
        throw fileError(error, `listing ${prefix}`);
      }
      signal?.throwIfAborted();
    },
  };
}

/** What is wrong with a folder that is not there; `details.away` tells it from a lock that is not to be had. */
export function isAway(location: string, what = "is not there: is what it lies on mounted?"): AppError {
  return new AppError("unavailable", `${location} ${what}`, { details: { away: true } });
}

async function attempt<T>(what: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    throw fileError(error, what);
  }
}

/** What stands there, when it is a file. */
async function look(path: string): Promise<BigIntStats | undefined> {
  try {
    const stats = await lstat(path, { bigint: true });
    return stats.isFile() ? stats : undefined;
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

async function openIfThere(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

interface ReadOptions {
  readonly from: number;
  readonly signal: AbortSignal | undefined;
}

const PIECE_BYTES = 4 * 1024 * 1024;

async function readWhole(file: FileHandle, into: Buffer, { from, signal }: ReadOptions): Promise<void> {
  for (let done = 0; done < into.length; ) {
    signal?.throwIfAborted();
    const { bytesRead } = await file.read(into, done, Math.min(PIECE_BYTES, into.length - done), from + done);
    if (bytesRead === 0) throw new AppError("internal", "a file of an object store became shorter while it was read");
    done += bytesRead;
  }
}

function isInTheWay(error: unknown): boolean {
  return ["EEXIST", "ENOTDIR", "EISDIR", "ENOTEMPTY"].includes(errnoOf(error));
}
