/**
 * `mags run 'echo hi'` as a whole command against `runsc do echo hi` of gVisor, in turn. gVisor without a network: with
 * one it is slower, needs iptables, and Debian's version does not recognize network namespaces on kernels of 2026.
 */
import { run, startServer } from "@mags/e2e/harness";
import type { Benchmark } from "./context.ts";
import { debianProgram } from "./debian-program.ts";
import { showSummary, summarize } from "./statistics.ts";

const RUNS = 40;
const PAUSE_MS = 900;
const RUNSC = { packageName: "runsc", program: "usr/bin/runsc" };

export const commandLine: Benchmark = async ({ say, note }) => {
  const runsc = await debianProgram(RUNSC, say);
  const version = (await run(runsc, ["--version"])).text.split("\n")[0];
  await using server = await startServer();
  await server.poolFilled(3);
  const ours: number[] = [];
  const theirs: number[] = [];
  let failed = 0;
  for (let n = -2; n < RUNS; n++) {
    const began = performance.now();
    const mags = await server.mags(["run", "echo hi"]);
    const took = performance.now() - began;
    if (mags.text !== "hi\n") failed++;
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    const other = performance.now();
    const gvisor = await run(runsc, ["--network=none", "do", "echo", "hi"]);
    const otherTook = performance.now() - other;
    if (gvisor.text !== "hi\n") throw new Error(`runsc do failed: ${gvisor.errors}`);
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    if (n < 0) continue; // warm-up
    ours.push(took);
    theirs.push(otherTook);
  }
  const figures = { failed, mags_run: summarize(ours), runsc_do: summarize(theirs) };
  say(`whole commands, in turn (${version}); ${failed} failed`);
  say(showSummary("mags run 'echo hi'", figures.mags_run));
  say(showSummary("runsc --network=none do echo hi", figures.runsc_do));
  note("command_line", { gvisor: version, ...figures });
};
