/**
 * Records of packs on the local disk, bounded, the least recently used going first. It is only a cache: what cannot be
 * written is not kept, what a crash tore is found by its digest, and all of it may be removed at any time. What an earlier
 * process kept is used at once, and counted when it has been looked through; until then there may be more than the bound.
 * A look that fails is repeated, until one does not.
 */
import { randomBytes } from "node:crypto";
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Logger, messageOf, sleep } from "@mags/core";
import { type RecordRef, sha256Of } from "@mags/workspace-store";

export interface RecordCache extends AsyncDisposable {
  /** Resolves when what an earlier process kept is counted, or it is disposed before that. */
  readonly counted: Promise<void>;
  /** The plain bytes, proven by their digest; undefined when they are not kept. */
  get(account: string, ref: RecordRef): Promise<Buffer | undefined>;
  /** Keeps them, if it can. */
  put(account: string, ref: RecordRef, plain: Buffer): Promise<void>;
  readonly sizeBytes: number;
}

export interface RecordCacheOptions {
  readonly maxBytes: number;
  /** Before the first look that is repeated; each further one waits twice as long, up to ten minutes. Default: 1 s. */
  readonly pauseMs?: number;
  readonly log: Logger;
}

const TEMPORARY = ".tmp";
const PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 600_000;

/** @param directory  `<account>/<first two digits>/<digest>` lie below it. */
export function openRecordCache(
  directory: string,
  { maxBytes, pauseMs: firstPauseMs = PAUSE_MS, log }: RecordCacheOptions,
): RecordCache {
  /** Sizes by path below the directory; the least recently used first. */
  const kept = new Map<string, number>();
  let sizeBytes = 0;
  const writing = new Set<string>();
  /** In the names of files that this process writes. */
  const own = randomBytes(4).toString("hex");
  const closing = new AbortController();
  let isCounted = false;
  let failing = false;
  const nameOf = (account: string, { sha256 }: RecordRef) => join(account, sha256.slice(0, 2), sha256);

  async function drop(name: string): Promise<void> {
    sizeBytes -= kept.get(name) ?? 0;
    kept.delete(name);
    await rm(join(directory, name), { force: true });
  }

  function add(name: string, size: number): void {
    if (kept.has(name)) return;
    kept.set(name, size);
    sizeBytes += size;
  }

  /** Not before all is counted: what was used last by an earlier process would go in place of what it used first. */
  async function shrink(): Promise<void> {
    for (const [name] of kept) {
      if (sizeBytes <= maxBytes || !isCounted) return;
      await drop(name);
    }
  }

  async function count(): Promise<void> {
    const found = await find(directory, { own, signal: closing.signal });
    // All of it was used before what this process has used.
    const newer = [...kept];
    kept.clear();
    sizeBytes = 0;
    const isNewer = new Set(newer.map(([name]) => name));
    for (const [name, size] of [...found.filter(([name]) => !isNewer.has(name)), ...newer]) add(name, size);
    isCounted = true;
    await shrink();
  }

  async function countAtLast(): Promise<void> {
    for (let pauseMs = firstPauseMs; !closing.signal.aborted; pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)) {
      try {
        return await count();
      } catch (error) {
        if (closing.signal.aborted) return;
        log.warn("blocks.cache_not_counted", { error: messageOf(error) });
      }
      await sleep(pauseMs, closing).catch(() => {}); // it is disposed
    }
  }
  const counted = countAtLast();

  return {
    counted,
    get sizeBytes() {
      return sizeBytes;
    },
    async get(account, ref) {
      const name = nameOf(account, ref);
      const size = kept.get(name);
      if (size === undefined && isCounted) return undefined;
      if (size !== undefined) {
        kept.delete(name);
        kept.set(name, size);
      }
      const plain = await readFile(join(directory, name)).catch(() => undefined);
      if (plain?.length === ref.plainBytes && sha256Of(plain) === ref.sha256) {
        add(name, plain.length);
        return plain;
      }
      await drop(name);
      return undefined;
    },
    async put(account, ref, plain) {
      const name = nameOf(account, ref);
      if (kept.has(name) || writing.has(name) || plain.length > maxBytes) return;
      writing.add(name);
      const path = join(directory, name);
      const temporary = `${path}.${own}${randomBytes(4).toString("hex")}${TEMPORARY}`;
      try {
        await writeFile(temporary, plain, { mode: 0o600 }).catch(async (error: NodeJS.ErrnoException) => {
          if (error.code !== "ENOENT") throw error;
          await mkdir(join(path, ".."), { recursive: true, mode: 0o700 });
          await writeFile(temporary, plain, { mode: 0o600 });
        });
        await rename(temporary, path);
        add(name, plain.length);
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
    async [Symbol.asyncDispose]() {
      closing.abort();
      await counted;
    },
  };
}

/** Sizes of what an earlier process kept, the oldest first. What it left half-written is removed. */
async function find(
  directory: string,
  { own, signal }: { readonly own: string; readonly signal: AbortSignal },
): Promise<(readonly [string, number])[]> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const found: { readonly name: string; readonly size: number; readonly usedMs: number }[] = [];
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    signal.throwIfAborted();
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    if (entry.name.endsWith(TEMPORARY)) {
      if (!entry.name.includes(`.${own}`)) await rm(path, { force: true });
      continue;
    }
    const file = await stat(path).catch(() => undefined); // it was dropped meanwhile
    if (file) found.push({ name: path.slice(directory.length + 1), size: file.size, usedMs: file.atimeMs });
  }
  return found.toSorted((a, b) => a.usedMs - b.usedMs).map(({ name, size }) => [name, size]);
}
