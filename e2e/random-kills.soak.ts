import { after, before, it } from "node:test";
import { seedFrom } from "@mags/test-kit";
import { killAtRandom } from "./harness/random-kills.ts";
import { startServer, type TestServer } from "./harness/server.ts";

const ROUNDS = Number(process.env.SOAK_ROUNDS ?? 200);
const SEED = seedFrom(process.env.SOAK_SEED);

let server: TestServer;
before(async () => {
  server = await startServer();
});
after(() => server[Symbol.asyncDispose]());

it(`${ROUNDS} rounds of kill -9 of QEMU, PostgreSQL and the server in random order under load (SOAK_SEED=${SEED}): all jobs end right, nothing is left`, async (t) => {
  await killAtRandom(server, { rounds: ROUNDS, seed: SEED, say: (line) => t.diagnostic(line) });
});
