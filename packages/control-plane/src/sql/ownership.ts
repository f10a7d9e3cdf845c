/**
 * The right to run the control plane on a database. One process holds it: a session lock of a connection of its own,
 * and an epoch that rises with every process that took it. The lock is lost with the connection; it is then taken
 * again, unless the epoch shows that somebody else had it meanwhile: then this process must stop acting. Until it holds
 * the lock again it must not act either: who has it now may not have raised the epoch yet.
 */
import { randomUUID } from "node:crypto";
import { AppError, type Logger, messageOf, sleep } from "@mags/core";
import { Client } from "pg";
import { clientConfig, type DatabaseAddress } from "./address.ts";

/** Any number that nobody else uses on this database ("mags" in ASCII). */
const LOCK_KEY = 0x6d616773;
const RETRY_MS = 200;

export interface Installation {
  readonly id: string;
  /** Rises with every process that takes the database over. */
  readonly epoch: number;
}

export interface Ownership extends AsyncDisposable {
  readonly state: "held" | "reconnecting" | "lost";
  /** How often the connection was lost and made anew. */
  readonly reconnects: number;
  /**
   * Names the installation and raises its epoch. Once, when the tables exist.
   * @throws AppError `unavailable` when the database belongs to another installation than `expectedId`.
   */
  claim(expectedId: string | undefined): Promise<Installation>;
}

/** @throws AppError `unavailable` when the database does not answer or another process owns it for `patienceMs`. */
export async function takeOwnership(
  deps: { readonly log: Logger; readonly onLost: () => void; readonly onReconnect: () => void },
  address: DatabaseAddress,
  options: { readonly patienceMs: number; readonly beatMs: number },
): Promise<Ownership> {
  const closing = new AbortController();
  let client: Client | null = null;
  let installation: Installation | null = null;
  let state: Ownership["state"] = "reconnecting";
  let reconnects = 0;

  async function lock(): Promise<"held" | "taken" | "lost"> {
    const fresh = new Client({ ...clientConfig(address), query_timeout: options.beatMs });
    let broken = false;
    fresh.on("error", () => {});
    fresh.on("end", () => {
      broken = true;
      if (fresh === client) void reconnect();
    });
    try {
      await fresh.connect();
      const { rows } = await fresh.query("select pg_try_advisory_lock($1::bigint) as held", [LOCK_KEY]);
      const held = rows[0]?.held === true;
      // Also when somebody else holds the lock: it is his for good then.
      if (installation && (await readEpoch(fresh)) !== installation.epoch) throw new TakenOver();
      if (held && !broken) {
        client = fresh;
        state = "held";
        void watch(fresh);
        return "held";
      }
      await fresh.end();
      return "taken";
    } catch (error) {
      await fresh.end().catch(() => {});
      if (error instanceof TakenOver) return "lost";
      throw error;
    }
  }

  /** A connection on which nothing is said may have been cut without a word: it is asked again and again. */
  async function watch(own: Client): Promise<void> {
    while (own === client && !closing.signal.aborted) {
      await sleep(options.beatMs, { signal: closing.signal }).catch(() => {});
      // Ending it calls for a new one.
      await own.query("select 1").catch(() => own.end().catch(() => {}));
    }
  }

  async function reconnect(): Promise<void> {
    if (state !== "held" || closing.signal.aborted) return;
    state = "reconnecting";
    client = null;
    deps.log.warn("database.lost");
    while (!closing.signal.aborted) {
      const result = await lock().catch(() => "away");
      if (result === "held") {
        reconnects++;
        deps.log.info("database.back", { reconnects });
        deps.onReconnect();
        return;
      }
      if (result === "lost") {
        state = "lost";
        deps.log.error("database.taken_over", { installation });
        deps.onLost();
        return;
      }
      await sleep(RETRY_MS, { signal: closing.signal }).catch(() => {});
    }
  }

  const deadline = performance.now() + options.patienceMs;
  for (;;) {
    const result = await lock().catch((error: unknown) => error);
    if (result === "held") break;
    if (performance.now() > deadline) throw refusal(result);
    await sleep(RETRY_MS);
  }

  return {
    get state() {
      return state;
    },
    get reconnects() {
      return reconnects;
    },
    async claim(expectedId) {
      if (!client) throw new AppError("unavailable", "the database went away while magsd was starting: start it again");
      const id = expectedId ?? randomUUID();
      await client.query("insert into installation (id, epoch) values ($1, 0) on conflict do nothing", [id]);
      const { rows } = await client.query("select id from installation");
      if (expectedId !== undefined && rows[0].id !== expectedId)
        throw new AppError(
          "unavailable",
          `the database belongs to installation ${rows[0].id}, this server is ${expectedId}: point it to its own database`,
        );
      const raised = await client.query("update installation set epoch = epoch + 1 returning id, epoch");
      installation = { id: raised.rows[0].id, epoch: raised.rows[0].epoch };
      return installation;
    },
    async [Symbol.asyncDispose]() {
      closing.abort();
      await client?.end().catch(() => {});
    },
  };
}

class TakenOver extends Error {}

async function readEpoch(client: Client): Promise<number> {
  const { rows } = await client.query("select epoch from installation");
  return rows[0]?.epoch ?? -1;
}

function refusal(result: unknown): AppError {
  if (result === "taken")
    return new AppError("unavailable", "another magsd is using this database: stop it first, or give this one its own");
  return new AppError("unavailable", `the database does not answer: ${messageOf(result)}`, { cause: result });
}
