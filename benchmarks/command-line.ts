/**
 * `mags run 'echo hi'` as a whole command against `runsc do echo hi` of gVisor, in turn. gVisor without a network: with
 * one it is slower, needs iptables, and Debian's version does not recognize network namespaces on kernels of 2026.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { run, startServer } from "@mags/e2e/harness";
import type { Benchmark } from "./context.ts";
import { showSummary, summarize } from "./statistics.ts";

const RUNS = 40;
const PAUSE_MS = 900;
const STORE = "/var/cache/mags";

/** Debian's package of gVisor, unpacked: the host's own suite may have one that is years old. */
async function findRunsc(say: (line: string) => void): Promise<string> {
  const tree = join(STORE, "gvisor");
  const program = join(tree, "usr/bin/runsc");
  if (existsSync(program)) return program;
  say("  unpacking gVisor from Debian's packages");
  const script = join(import.meta.dirname, "unpack-gvisor.sh");
  const { exitCode, errors } = await run(script, [tree], { timeoutMs: 300_000 });
  if (exitCode !== 0) throw new Error(`gVisor could not be unpacked: ${errors}`);
  return program;
}

export const commandLine: Benchmark = async ({ say, note }) => {
  const runsc = await findRunsc(say);
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
