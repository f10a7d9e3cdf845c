/**
 * Records of packs on the local disk, bounded, the least recently used going first. It is only a cache: what cannot be
 * written is not kept, what a crash tore is found by its digest, and all of it may be removed at any time.
 */
import { randomBytes } from "node:crypto";
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Logger, messageOf } from "@mags/core";
import { type RecordRef, sha256Of } from "@mags/workspace-store";

export interface RecordCache {
  /** The plain bytes, proven by their digest; undefined when they are not kept. */
  get(account: string, ref: RecordRef): Promise<Buffer | undefined>;
  /** Keeps them, if it can. */
  put(account: string, ref: RecordRef, plain: Buffer): Promise<void>;
  readonly sizeBytes: number;
}

const TEMPORARY = ".tmp";

/** @param directory  `<account>/<first two digits>/<digest>` lie below it. */
export async function openRecordCache(
  directory: string,
  { maxBytes, log }: { readonly maxBytes: number; readonly log: Logger },
): Promise<RecordCache> {
  /** Sizes by path below the directory; the least recently used first. */
  const kept = await find(directory);
  let sizeBytes = [...kept.values()].reduce((sum, size) => sum + size, 0);
  const writing = new Set<string>();
  let failing = false;
  const nameOf = (account: string, { sha256 }: RecordRef) => join(account, sha256.slice(0, 2), sha256);

  async function drop(name: string): Promise<void> {
    sizeBytes -= kept.get(name) ?? 0;
    kept.delete(name);
    await rm(join(directory, name), { force: true });
  }

  async function shrink(): Promise<void> {
    for (const [name] of kept) {
      if (sizeBytes <= maxBytes) return;
      await drop(name);
    }
  }
  await shrink();

  return {
    get sizeBytes() {
      return sizeBytes;
    },
    async get(account, ref) {
      const name = nameOf(account, ref);
      const size = kept.get(name);
      if (size === undefined) return undefined;
      kept.delete(name);
      kept.set(name, size);
      const plain = await readFile(join(directory, name)).catch(() => undefined);
      if (plain?.length === ref.plainBytes && sha256Of(plain) === ref.sha256) return plain;
      await drop(name);
      return undefined;
    },
    async put(account, ref, plain) {
      const name = nameOf(account, ref);
      if (kept.has(name) || writing.has(name) || plain.length > maxBytes) return;
      writing.add(name);
      const path = join(directory, name);
      const temporary = `${path}.${randomBytes(4).toString("hex")}${TEMPORARY}`;
      try {
        await writeFile(temporary, plain, { mode: 0o600 }).catch(async (error: NodeJS.ErrnoException) => {
          if (error.code !== "ENOENT") throw error;
          await mkdir(join(path, ".."), { recursive: true, mode: 0o700 });
          await writeFile(temporary, plain, { mode: 0o600 });
        });
        await rename(temporary, path);
        kept.set(name, plain.length);
        sizeBytes += plain.length;
        failing = false;
      } catch (error) {
        await rm(temporary, { force: true }).catch(() => {}); // found by the next start
        if (!failing) log.warn("blocks.cache_not_written", { error: messageOf(error) });
        failing = true;
      } finally {
        writing.delete(name);
      }
      await shrink();
    },
  };
}

/** What an earlier process kept, oldest first. Half-written files are removed. */
async function find(directory: string): Promise<Map<string, number>> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const found: { readonly name: string; readonly size: number; readonly usedMs: number }[] = [];
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    if (entry.name.endsWith(TEMPORARY)) await rm(path, { force: true });
    else {
      const { size, atimeMs } = await stat(path);
      found.push({ name: path.slice(directory.length + 1), size, usedMs: atimeMs });
    }
  }
  return new Map(found.toSorted((a, b) => a.usedMs - b.usedMs).map(({ name, size }) => [name, size]));
}
