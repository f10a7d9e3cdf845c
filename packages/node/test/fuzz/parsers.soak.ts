import assert from "node:assert/strict";
import { it } from "node:test";
import { describeRun, seedFrom } from "@mags/test-kit";
import { fuzzAgent } from "./agent-fuzz.ts";
import { fuzzGuestAgent } from "./guest-agent-fuzz.ts";
import { fuzzQmp } from "./qmp-fuzz.ts";

const FRAMES = Number(process.env.SOAK_FRAMES ?? 1_000_000);
const SEED = seedFrom(process.env.SOAK_SEED);
const MAX_HELD_BYTES = 64 * 1024 ** 2;

for (const [what, fuzz] of [
  ["agent frames", fuzzAgent],
  ["QMP lines", fuzzQmp],
] as const) {
  it(`${FRAMES} ${what} of guests that lie end in service or a reason (SOAK_SEED=${SEED})`, async (t) => {
    const run = await fuzz({ seed: SEED, frames: FRAMES });
    t.diagnostic(describeRun(what, run));
    assert.ok(run.frames >= FRAMES);
    assert.ok(run.heldBytes < MAX_HELD_BYTES, `${run.heldBytes} bytes more are held`);
  });
}

it(`${FRAMES} frames of hosts that lie leave the agent in order, at the build with sanitizers (SOAK_SEED=${SEED})`, async (t) => {
  const { frames, elapsedMs } = await fuzzGuestAgent("agent-asan", { seed: SEED, frames: FRAMES });
  t.diagnostic(`${frames} frames, ${Math.round((frames / elapsedMs) * 1_000)}/s`);
});
