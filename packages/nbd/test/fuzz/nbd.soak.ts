import assert from "node:assert/strict";
import { it } from "node:test";
import { describeRun, seedFrom } from "@mags/test-kit";
import { fuzzClient } from "./client-fuzz.ts";
import { fuzzServer } from "./server-fuzz.ts";

const FRAMES = Number(process.env.SOAK_FRAMES ?? 1_000_000);
const SEED = seedFrom(process.env.SOAK_SEED);
const MAX_HELD_BYTES = 64 * 1024 ** 2;

for (const [what, fuzz] of [
  ["messages of NBD clients", fuzzServer],
  ["messages of NBD servers", fuzzClient],
] as const)
  it(`${FRAMES} ${what} that lie end in service or a reason (SOAK_SEED=${SEED})`, async (t) => {
    const run = await fuzz({ seed: SEED, frames: FRAMES });
    t.diagnostic(describeRun(what, run));
    assert.ok(run.frames >= FRAMES);
    assert.ok(run.heldBytes < MAX_HELD_BYTES, `${run.heldBytes} bytes more are held`);
  });
