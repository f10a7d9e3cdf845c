import { AppError, type Logger, sleep } from "@mags/core";
import { type Kysely, sql } from "kysely";
import type { DatabaseAddress } from "./address.ts";
import { isAway, whyAway } from "./away.ts";
import { migrate } from "./migrate.ts";
import { type Installation, takeOwnership } from "./ownership.ts";
import { createQueryBuilder } from "./pool.ts";
import type { Tables } from "./tables.ts";

/** How long a request waits for a server that is restarting. */
const DEFAULT_PATIENCE_MS = 10_000;
const START_PATIENCE_MS = 5_000;
const BEAT_MS = 5_000;
const RETRY_MS = { first: 10, most: 200 };

export interface Database extends AsyncDisposable {
  readonly installation: Installation;
  readonly reconnects: number;
  /** `listener` is called whenever the connection was lost and is back. It must not throw. */
  onReconnect(listener: () => void): void;
  /**
   * Runs statements, again and again while the server is away, up to `patienceMs`; none while this process does not
   * hold the database. A statement whose answer was lost may have taken effect, so `work` must do no harm when it runs
   * twice.
   * @throws AppError `unavailable` when the server stays away, or another process has the database.
   */
  run<T>(work: (db: Kysely<Tables>) => Promise<T>, options?: { readonly patienceMs?: number }): Promise<T>;
  /** Rejects with `unavailable` when the server does not answer at once. */
  ping(): Promise<void>;
}

export interface DatabaseOptions {
  readonly address: DatabaseAddress;
  /** The installation that must own the database; without it the database's own, or a new one. */
  readonly installationId?: string;
  /** How long to wait for the server, and for a predecessor to let go. Default 5 s. */
  readonly startPatienceMs?: number;
  /** How often the connection that holds the database is asked whether it lives, and how long it has for its answers. Default 5 s. */
  readonly beatMs?: number;
}

/** Connects, takes the database over from all other processes, and brings its tables up to date. */
export async function openDatabase(
  deps: { readonly log: Logger; readonly onLost?: () => void },
  options: DatabaseOptions,
): Promise<Database> {
  await using scope = new AsyncDisposableStack();
  const reconnectListeners: (() => void)[] = [];
  const events = {
    onLost: deps.onLost ?? (() => {}),
    onReconnect: () => {
      for (const listener of reconnectListeners) listener();
    },
  };
  const ownership = scope.use(
    await takeOwnership({ log: deps.log, ...events }, options.address, {
      patienceMs: options.startPatienceMs ?? START_PATIENCE_MS,
      beatMs: options.beatMs ?? BEAT_MS,
    }),
  );
  const db = scope.adopt(createQueryBuilder(deps, options.address), (builder) => builder.destroy());
  await migrate(db);
  const installation = await ownership.claim(options.installationId);
  const closing = new AbortController();
  const open = scope.move();

  async function run<T>(
    work: (builder: Kysely<Tables>) => Promise<T>,
    { patienceMs = DEFAULT_PATIENCE_MS }: { readonly patienceMs?: number } = {},
  ): Promise<T> {
    const deadline = performance.now() + patienceMs;
    for (let delayMs = RETRY_MS.first; ; delayMs = Math.min(delayMs * 2, RETRY_MS.most)) {
      const attempt = await tryOnce(work);
      if ("result" in attempt) return attempt.result;
      if (closing.signal.aborted || performance.now() + delayMs > deadline)
        throw new AppError("unavailable", whyAway(attempt.cause), attempt);
      await sleep(delayMs, { signal: closing.signal }).catch(() => {});
    }
  }

  /** The result, or why there is none now. */
  async function tryOnce<T>(
    work: (builder: Kysely<Tables>) => Promise<T>,
  ): Promise<{ readonly result: T } | { readonly cause?: unknown }> {
    if (ownership.state === "lost")
      throw new AppError("unavailable", "another magsd has taken the database over: this one must end");
    if (ownership.state === "reconnecting") return {};
    try {
      return { result: await work(db) };
    } catch (cause) {
      if (!isAway(cause)) throw cause;
      return { cause };
    }
  }

  return {
    installation,
    get reconnects() {
      return ownership.reconnects;
    },
    onReconnect(listener) {
      reconnectListeners.push(listener);
    },
    run,
    async ping() {
      await run((builder) => sql`select 1`.execute(builder), { patienceMs: 0 });
    },
    async [Symbol.asyncDispose]() {
      closing.abort();
      await open.disposeAsync();
    },
  };
}
