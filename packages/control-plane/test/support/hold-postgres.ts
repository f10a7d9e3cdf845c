/** Starts the embedded server of the place given as JSON, prints its pid, and waits to be killed. */
import { silentLogger } from "@mags/core";
import { startPostgres } from "../../src/postgres/start-postgres.ts";

const postgres = await startPostgres({ log: silentLogger }, JSON.parse(process.argv[2] ?? ""), { database: "mags" });
process.stdout.write(`${postgres.pid}\n`);
setInterval(() => {}, 1 << 30);
