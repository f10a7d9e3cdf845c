import { after, before, it } from "node:test";
import { seedFrom } from "@mags/test-kit";
import { killAtRandom } from "./harness/random-kills.ts";
import { startServer, type TestServer } from "./harness/server.ts";

const ROUNDS = 5;
const SEED = seedFrom(process.env.KILL_SEED);

let server: TestServer;
before(async () => {
  server = await startServer();
});
after(() => server[Symbol.asyncDispose]());

it(`kill -9 of QEMU, PostgreSQL and the server in random order under load (KILL_SEED=${SEED}, ${ROUNDS} rounds): all jobs end right, nothing is left`, async (t) => {
  await killAtRandom(server, { rounds: ROUNDS, seed: SEED, say: (line) => t.diagnostic(line) });
});
