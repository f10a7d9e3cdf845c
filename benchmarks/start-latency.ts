/** Submit to first output byte over REST, one job after another, with a filled pool and the refill running. */
import { run, startServer } from "@mags/e2e/harness";
import { type BenchClient, createBenchClient } from "./api.ts";
import type { Benchmark } from "./context.ts";
import { showSummary, summarize } from "./statistics.ts";

const RUNS = Number(process.env.BENCH_RUNS ?? 200);
const EVERY_MS = 1_000;

async function stagesOf(client: BenchClient, ids: readonly string[]): Promise<Map<string, number[]>> {
  const stages = new Map<string, number[]>();
  for (const id of ids) {
    const started = await client.started(id);
    for (const [name, ms] of Object.entries(started?.stages_ms ?? {}))
      stages.set(name, [...(stages.get(name) ?? []), ms]);
  }
  return stages;
}

export const startLatency: Benchmark = async ({ say, note }) => {
  await using server = await startServer();
  await server.poolFilled(3);
  const client = createBenchClient(server.url, server.token);
  await client.runJob({ script: "echo warm" });
  const jobs = [];
  const reference: number[] = [];
  for (let n = 0; n < RUNS; n++) {
    const began = performance.now();
    jobs.push(await client.runJob({ script: "echo hi" }));
    const spawned = performance.now();
    await run("/bin/sh", ["-c", "echo hi"]);
    reference.push(performance.now() - spawned);
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, EVERY_MS - (performance.now() - began))));
  }
  const failed = jobs.filter((job) => job.exitCode !== 0).length;
  const figures = {
    failed,
    accepted: summarize(jobs.map((job) => job.acceptedMs)),
    first_byte: summarize(jobs.map((job) => job.firstByteMs)),
    end: summarize(jobs.map((job) => job.endMs)),
    reference_local_shell: summarize(reference),
  };
  say(`start latency: ${RUNS} jobs at 1/s, ${failed} failed`);
  say(showSummary("submit → 202", figures.accepted));
  say(showSummary("submit → first output byte", figures.first_byte));
  say(showSummary("submit → end event", figures.end));
  say(showSummary("reference: a shell spawned on the host", figures.reference_local_shell));
  note("start_latency", figures);
  const stages = await stagesOf(
    client,
    jobs.map((job) => job.id),
  );
  for (const [name, samples] of stages) {
    say(showSummary(`node: job taken → ${name}`, summarize(samples)));
    note(`start_latency_stage_${name}`, summarize(samples));
  }
  client.close();
};
