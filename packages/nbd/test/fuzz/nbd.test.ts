import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { describeRun, seedFrom } from "@mags/test-kit";
import { fuzzClient } from "./client-fuzz.ts";
import { fuzzServer } from "./server-fuzz.ts";

const FRAMES = 50_000;
const SEED = seedFrom(process.env.FUZZ_SEED);
const MIB = 1024 ** 2;

describe("NBD with others that lie", () => {
  for (const [what, fuzz, kinds] of [
    ["messages of clients", fuzzServer, 3],
    ["messages of servers", fuzzClient, 15],
  ] as const)
    it(`survives ${FRAMES} ${what} (FUZZ_SEED=${SEED}): each is served or ends with a reason, others are served, no memory is lost`, {
      timeout: 110_000,
    }, async (t) => {
      const run = await fuzz({ seed: SEED, frames: FRAMES });
      t.diagnostic(describeRun(what, run));
      assert.ok(run.frames >= FRAMES);
      assert.ok(run.reasons.size >= kinds, `the lies were of few kinds: ${[...run.reasons]}`);
      assert.ok(run.violations < run.conversations, "some conversations went well");
      assert.ok(run.heldBytes < 64 * MIB, `${run.heldBytes} bytes more are held`);
    });
});
