import { silentLogger } from "@mags/core";
import { waitFor } from "@mags/test-kit";
import { ensureDatabase } from "../../src/postgres/probe.ts";
import { startPostgres } from "../../src/postgres/start-postgres.ts";
import type { DatabaseAddress } from "../../src/sql/address.ts";
import { makePostgresPlace } from "./postgres-place.ts";

export interface TestServer extends AsyncDisposable {
  /** Pid of the server process that runs now. */
  pid(): number;
  up(): boolean;
  /** Makes a fresh database. */
  database(): Promise<DatabaseAddress>;
}

/** One embedded server for a test file; each test takes a database of its own. */
export async function startTestServer(): Promise<TestServer> {
  await using scope = new AsyncDisposableStack();
  const { place, dir } = await makePostgresPlace();
  scope.use(dir);
  const postgres = scope.adopt(await startPostgres({ log: silentLogger }, place, { database: "mags" }), (server) =>
    server.stop(),
  );
  const owned = scope.move();
  let count = 0;
  return {
    pid: () => postgres.pid ?? 0,
    up: () => postgres.state === "up",
    async database() {
      const database = `test_${++count}`;
      // A test before may have killed the server.
      await waitFor(() => postgres.state === "up", { what: "the server", deadlineMs: 60_000 });
      await ensureDatabase(postgres.address, database);
      return { ...postgres.address, database };
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
