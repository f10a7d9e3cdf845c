import assert from "node:assert/strict";
import { after, before, it } from "node:test";
import { createSeededRandom, seedFrom } from "@mags/test-kit";
import { startServer, type TestServer } from "./harness/server.ts";

const ROUNDS = Number(process.env.SOAK_ROUNDS ?? 100);
const SEED = seedFrom(process.env.SOAK_SEED);
const JOBS = 3;
const LINES = 40;

let server: TestServer;
before(async () => {
  server = await startServer();
});
after(() => server[Symbol.asyncDispose]());

it(`${ROUNDS} times kill -9 of the server at a random moment of running scripts (seed ${SEED}): every job ends right, every line is there once`, async (t) => {
  t.diagnostic(`SOAK_SEED=${SEED}`);
  const random = createSeededRandom(SEED);
  for (let round = 1; round <= ROUNDS; round++) {
    const codes = Array.from({ length: JOBS }, () => random.between(0, 99));
    const script = (code: number) =>
      `i=0; while [ $i -lt ${LINES} ]; do i=$((i+1)); echo line $i; echo err $i >&2; sleep 0.03; done; exit ${code}`;
    const ids = await Promise.all(codes.map((code) => server.submit({ script: script(code) })));
    await new Promise((resolve) => setTimeout(resolve, random.next() * 2_000));
    await server.kill();
    await server.start();
    for (const [n, id] of ids.entries()) {
      const status = await server.ended(id);
      assert.equal(status.status, "completed", `round ${round}: ${status.error_message}`);
      assert.equal(status.exit_code, codes[n], `round ${round}`);
      const { text, errors } = await server.mags(["logs", id]);
      const numbers = Array.from({ length: LINES }, (_, i) => i + 1);
      assert.equal(text, numbers.map((i) => `line ${i}\n`).join(""), `round ${round}`);
      assert.equal(errors, numbers.map((i) => `err ${i}\n`).join(""), `round ${round}`);
    }
  }
});
