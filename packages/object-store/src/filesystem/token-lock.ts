/**
 * A lock between the processes of one machine that ends with its holder, without a call for flock(2), which Node lacks.
 *
 * A directory holds one empty file, the token. Its name is `free`, or that of the process that holds the lock. Taking and
 * returning it are renames, of which the kernel lets one succeed. The token of a process that is gone is taken the same
 * way, and as the name says whose it was, nobody can take it from one who has just got it. There is no moment without a
 * token: the directory appears with it, and only while it is missing or empty.
 */
import { randomInt } from "node:crypto";
import { mkdir, readdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { AppError, createGate, sleep } from "@mags/core";
import type { Owners } from "./owner.ts";

export interface TokenLock {
  /** Runs `action` while nobody else holds the lock, here or in another process. Keep it short. */
  hold<T>(action: () => Promise<T>, options?: { readonly signal?: AbortSignal | undefined }): Promise<T>;
}

export interface TokenLockOptions {
  readonly owners: Owners;
  /** In the same file system, for what is under way. */
  readonly scratch: string;
  /** How long to wait while another process holds it. */
  readonly patienceMs: number;
}

const FREE = "free";
const MAX_PAUSE_MS = 20;

/** Makes the lock's directory unless it is there. */
export async function openTokenLock(directory: string, options: TokenLockOptions): Promise<TokenLock> {
  const { owners, scratch, patienceMs } = options;
  await ensureToken(directory, join(scratch, owners.ownName()));
  const turns = createGate(1);

  async function take(signal: AbortSignal | undefined): Promise<string> {
    const own = owners.ownName();
    const deadline = performance.now() + patienceMs;
    for (let pauseMs = 1; ; pauseMs = Math.min(2 * pauseMs, MAX_PAUSE_MS)) {
      if (await tryRename(directory, FREE, own)) return own;
      const [holder] = await readdir(directory);
      if (holder === FREE) continue;
      if (holder !== undefined && (await owners.isAbandoned(holder)) && (await tryRename(directory, holder, own)))
        return own;
      if (performance.now() > deadline)
        throw stuck(directory, holder === undefined ? "nobody" : owners.describe(holder));
      await sleep(randomInt(1, pauseMs + 1), signal ? { signal } : {});
    }
  }

  return {
    async hold(action, { signal } = {}) {
      const leave = await turns.enter(signal ? { signal } : {});
      try {
        const own = await take(signal);
        try {
          return await action();
        } finally {
          await rename(join(directory, own), join(directory, FREE));
        }
      } finally {
        leave();
      }
    },
  };
}

/** A rename of a directory to the name of another succeeds only when that is empty: of several one does. */
async function ensureToken(directory: string, staged: string): Promise<void> {
  await mkdir(staged, { mode: 0o700 });
  try {
    await writeFile(join(staged, FREE), "", { flag: "wx", mode: 0o600 });
    await rename(staged, directory);
  } catch (error) {
    await rm(staged, { recursive: true, force: true });
    if (!["ENOTEMPTY", "EEXIST"].includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
  }
}

async function tryRename(directory: string, from: string, to: string): Promise<boolean> {
  try {
    await rename(join(directory, from), join(directory, to));
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
    throw error;
  }
}

function stuck(directory: string, holder: string): AppError {
  return new AppError(
    "unavailable",
    `the lock ${directory} was not to be had: ${holder} holds it and goes on doing so`,
  );
}
