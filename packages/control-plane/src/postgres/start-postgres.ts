/**
 * The embedded database server: makes the cluster, adopts a server that a previous run left or starts one, and keeps
 * one running until it is stopped.
 *
 * States: `starting` → `up` → (its process dies) `starting` → … → `stopped`. It owns the data directory's lock and the
 * server process; `stop` ends both, `release` gives up the lock and lets the server run for the next one to adopt.
 */
import { createHash } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { AppError, type Logger, lockFile, messageOf, sleep } from "@mags/core";
import { ensureCluster } from "./cluster.ts";
import { lockPath, makePlace, type PostgresPlace } from "./place.ts";
import { endCluster, findPostmaster, serverCommand, spawnPostmaster, untilGone } from "./postmaster.ts";
import { ensureDatabase, untilAnswering } from "./probe.ts";
import type { ServerProcess } from "./processes.ts";
import { SUPERUSER } from "./settings.ts";

const FIRST_START_MS = 120_000;
const BACKOFF_MS = { first: 50, most: 5_000 };

export type PostgresState = "starting" | "up" | "stopped";

export interface EmbeddedPostgres {
  /** Where clients connect: a socket directory, no password. */
  readonly address: { readonly host: string; readonly user: string; readonly database: string };
  readonly state: PostgresState;
  /** Pid of the server process, for people; null while there is none. */
  readonly pid: number | null;
  /** Shuts the server down and gives up the data directory. May be repeated. */
  stop(): Promise<void>;
  /** Stops watching and gives up the data directory; the server runs on. May be repeated. */
  release(): Promise<void>;
}

/**
 * When this rejects, no server runs.
 * @throws AppError `unavailable` when the server does not come up, or another process watches over it; the signal's reason.
 */
export async function startPostgres(
  deps: { readonly log: Logger },
  place: PostgresPlace,
  options: { readonly database: string; readonly signal?: AbortSignal },
): Promise<EmbeddedPostgres> {
  const { log } = deps;
  const ending = new AbortController();
  const starting = AbortSignal.any([ending.signal, AbortSignal.timeout(FIRST_START_MS), ...signalsOf(options.signal)]);
  const address = { host: place.socketDir, user: SUPERUSER, database: options.database };
  let state: PostgresState = "starting";
  let current: ServerProcess | null = null;

  /** Finds or starts a server and waits until it answers. */
  async function bringUp(signal: AbortSignal): Promise<ServerProcess> {
    signal.throwIfAborted();
    const adopted = await adoptable(place);
    if (!adopted) await endCluster(place, await findPostmaster(place));
    const process = adopted ?? (await spawnPostmaster(place));
    if (!adopted) await writeFile(recordPath(place), commandDigest(place));
    await untilAnswering(process, { ...address, database: "postgres" }, { signal }).catch(async (error: unknown) => {
      // Here, where it is known: one that has only begun cannot be found yet.
      await endCluster(place, process);
      throw error;
    });
    log.info("postgres.up", { pid: process.pid, adopted: adopted !== null });
    return process;
  }

  async function bringUpPatiently(signal: AbortSignal): Promise<ServerProcess> {
    for (let delayMs = BACKOFF_MS.first; ; delayMs = Math.min(delayMs * 2, BACKOFF_MS.most)) {
      try {
        return await bringUp(signal);
      } catch (error) {
        signal.throwIfAborted();
        log.error("postgres.start_failed", { error: messageOf(error), retryMs: delayMs, logFile: place.logFile });
        await sleep(delayMs, { signal });
      }
    }
  }

  async function supervise(): Promise<void> {
    while (!ending.signal.aborted) {
      if (current) await untilGone(current, { signal: ending.signal });
      state = "starting";
      log.warn("postgres.died", { pid: current?.pid });
      current = null;
      current = await bringUpPatiently(ending.signal);
      state = "up";
    }
  }

  await makePlace(place);
  await using scope = new AsyncDisposableStack();
  const lock = scope.use(await lockFile(lockPath(place)));
  scope.defer(async () => endCluster(place, await findPostmaster(place)));
  await ensureCluster(place, { signal: starting });
  current = await bringUpPatiently(starting).catch((error: unknown) => {
    options.signal?.throwIfAborted();
    throw new AppError("unavailable", `PostgreSQL did not start: see ${place.logFile}`, { cause: error });
  });
  await ensureDatabase(address, options.database);
  state = "up";
  scope.move();
  const supervision = supervise().catch((error: unknown) => {
    if (!ending.signal.aborted) log.error("postgres.supervision_failed", { error: messageOf(error) });
  });

  async function release(): Promise<void> {
    ending.abort();
    await supervision;
    state = "stopped";
    await lock[Symbol.asyncDispose]();
  }

  return {
    address,
    get state() {
      return state;
    },
    get pid() {
      return current?.pid ?? null;
    },
    async stop() {
      if (state === "stopped") return;
      ending.abort();
      await supervision;
      await endCluster(place, await findPostmaster(place));
      log.info("postgres.stopped");
      await release();
    },
    release,
  };
}

function signalsOf(signal: AbortSignal | undefined): AbortSignal[] {
  return signal ? [signal] : [];
}

function recordPath(place: PostgresPlace): string {
  return join(place.dataDir, "command");
}

function commandDigest(place: PostgresPlace): string {
  return createHash("sha256")
    .update(JSON.stringify(serverCommand(place)))
    .digest("hex");
}

/** The living server, if it was started by the very command that would start one now; an older one is replaced. */
async function adoptable(place: PostgresPlace): Promise<ServerProcess | null> {
  const record = await readFile(recordPath(place), "utf8").catch(() => "");
  return record === commandDigest(place) ? findPostmaster(place) : null;
}
