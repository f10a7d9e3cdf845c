/** How much nonsense a second the fuzzers get through. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { run } from "@mags/e2e/harness";
import type { Benchmark } from "./context.ts";

const FIGURES = join(import.meta.dirname, "../packages/node/test/fuzz/figures.ts");
const FRAMES = Number(process.env.BENCH_FRAMES ?? 100_000);

export const fuzz: Benchmark = async ({ say, note }) => {
  const { exitCode, text, errors } = await run(process.execPath, [FIGURES, String(FRAMES)]);
  assert.equal(exitCode, 0, errors);
  say(`fuzzing, ${FRAMES} each`);
  for (const [what, perSecond] of Object.entries(JSON.parse(text) as Record<string, number>)) {
    say(`  ${what.padEnd(60)} ${perSecond}/s`);
    note(`fuzz_${what}`, perSecond);
  }
};
