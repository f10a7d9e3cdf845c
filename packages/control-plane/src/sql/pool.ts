import { hash } from "node:crypto";
import type { Logger } from "@mags/core";
import { messageOf } from "@mags/core";
import { Kysely, PostgresDialect, type PostgresPool, type PostgresPoolClient } from "kysely";
import { Pool, type PoolClient } from "pg";
import { clientConfig, type DatabaseAddress } from "./address.ts";
import type { Tables } from "./tables.ts";

/** Well below the server's `max_connections`, so that people can still look inside. */
const MAX_CONNECTIONS = 12;

/** Query builder over a pool of connections. Disposing of it (`destroy`) closes them. */
export function createQueryBuilder(deps: { readonly log: Logger }, address: DatabaseAddress): Kysely<Tables> {
  const pool = new Pool({ ...clientConfig(address), max: MAX_CONNECTIONS, idleTimeoutMillis: 60_000 });
  // An idle connection that breaks is replaced at the next use; without a listener it would end this process.
  pool.on("error", (error) => deps.log.warn("database.connection_lost", { error: messageOf(error) }));
  // The pool listens to idle connections only, and one in use may break between two statements.
  pool.on("connect", (client) => client.on("error", () => {}));
  return new Kysely<Tables>({ dialect: new PostgresDialect({ pool: preparing(pool) }) });
}

/** Gives every statement with parameters a name, so that the server parses and plans it once a connection. */
function preparing(pool: Pool): PostgresPool {
  return {
    options: pool.options,
    end: () => pool.end(),
    connect: async () => preparingClient(await pool.connect()),
  };
}

function preparingClient(client: PoolClient): PostgresPoolClient {
  const prepared = {
    query: (text: string, values: readonly unknown[]) =>
      values.length === 0 ? client.query(text) : client.query({ name: nameOf(text), text, values: [...values] }),
    release: (destroy?: boolean) => client.release(destroy),
  };
  // Kysely's type also asks for cursors, which it uses only when it is given a cursor class.
  return prepared as unknown as PostgresPoolClient;
}

/** Statement names are cut off at 63 characters, so a text cannot be its own name. */
function nameOf(text: string): string {
  return hash("sha1", text, "base64url");
}
