import { AppError, sleep, untilAborted } from "@mags/core";
import { Client, DatabaseError, escapeIdentifier } from "pg";
import { isAlive, type ServerProcess } from "./processes.ts";

interface Address {
  readonly host: string;
  readonly user: string;
  readonly database: string;
}

const CONNECT_TIMEOUT_MS = 2_000;
/** A living server that neither answers nor says that it is starting up is given up after this long. */
const SILENT_MS = 15_000;
/** PostgreSQL's code for "the database system is starting up". */
const CANNOT_CONNECT_NOW = "57P03";
const DUPLICATE_DATABASE = "42P04";

/** Waits until the server answers, as long as it lives and says that it is on its way (recovery may take minutes). */
export async function untilAnswering(
  process: ServerProcess,
  address: Address,
  { signal }: { readonly signal: AbortSignal },
): Promise<void> {
  let silentSince = performance.now();
  for (let delayMs = 5; ; delayMs = Math.min(delayMs * 2, 100)) {
    const answer = await untilAborted(tryConnect(address), signal);
    if (answer === "ready") return;
    if (answer === "starting_up") silentSince = performance.now();
    if (!(await isAlive(process))) throw new AppError("unavailable", "PostgreSQL ended before it was ready");
    if (performance.now() - silentSince > SILENT_MS) throw new AppError("unavailable", "PostgreSQL does not answer");
    await sleep(delayMs, { signal });
  }
}

async function tryConnect(address: Address): Promise<"ready" | "starting_up" | "silent"> {
  const client = new Client({
    ...address,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    query_timeout: CONNECT_TIMEOUT_MS,
  });
  // Without a listener a connection that breaks later would end this process.
  client.on("error", () => {});
  try {
    await client.connect();
    await client.query("select 1");
    return "ready";
  } catch (error) {
    return error instanceof DatabaseError && error.code === CANNOT_CONNECT_NOW ? "starting_up" : "silent";
  } finally {
    await client.end().catch(() => {});
  }
}

/** Makes a database of this name where there is none. */
export async function ensureDatabase(address: Address, name: string): Promise<void> {
  const client = new Client({ ...address, database: "postgres" });
  client.on("error", () => {});
  try {
    await client.connect();
    const known = await client.query("select 1 from pg_database where datname = $1", [name]);
    if (known.rowCount === 0) await client.query(`create database ${escapeIdentifier(name)}`);
  } catch (error) {
    if (!(error instanceof DatabaseError && error.code === DUPLICATE_DATABASE)) throw error;
  } finally {
    await client.end().catch(() => {});
  }
}
