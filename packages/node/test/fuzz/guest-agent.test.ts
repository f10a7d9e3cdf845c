import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { seedFrom } from "@mags/test-kit";
import { fuzzGuestAgent } from "./guest-agent-fuzz.ts";

const FRAMES = 100_000;
const SEED = seedFrom(process.env.FUZZ_SEED);

describe("an agent that is sent nonsense", () => {
  it(`serves the next host as if nothing had been, at the build with sanitizers, ${FRAMES} frames (FUZZ_SEED=${SEED})`, {
    timeout: 110_000,
  }, async (t) => {
    const { frames, elapsedMs } = await fuzzGuestAgent("agent-asan", { seed: SEED, frames: FRAMES });
    t.diagnostic(`${frames} frames, ${Math.round((frames / elapsedMs) * 1_000)}/s`);
    assert.ok(frames >= FRAMES);
  });
});
