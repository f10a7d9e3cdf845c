import { after, before, it } from "node:test";
import { seedFrom } from "@mags/test-kit";
import { startServer, type TestServer } from "./harness/server.ts";
import { killInSituations } from "./harness/situations.ts";

const ROUNDS = Number(process.env.LEAK_SOAK_ROUNDS ?? 120);
const SEED = seedFrom(process.env.LEAK_SOAK_SEED);
const POOL = 2;

let server: TestServer;
before(async () => {
  server = await startServer({ node: { pool: { min_idle: POOL, max_idle: POOL } } });
});
after(() => server[Symbol.asyncDispose]());

it(`${ROUNDS} times kill -9 of the server at any moment (LEAK_SOAK_SEED=${SEED}): the next start leaves nothing that belongs to nothing`, async () => {
  await killInSituations(server, { rounds: ROUNDS, seed: SEED, pool: POOL });
});
