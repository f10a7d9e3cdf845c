/**
 * Commands in a running VM, over the API: how long a short one takes, and how fast output and input are. Reference, in turn
 * with it: the same in a microVM that is driven by the connection to its agent alone.
 */
import assert from "node:assert/strict";
import { startServer, type TestServer } from "@mags/e2e/harness";
import { createBenchClient } from "./api.ts";
import { type BareAgent, startBareAgent } from "./bare-agent.ts";
import type { BenchContext, Benchmark } from "./context.ts";
import { openStreamedCommand } from "./exec-socket.ts";
import { percentile, round, showSummary, summarize } from "./statistics.ts";

const RUNS = Number(process.env.BENCH_RUNS ?? 200);
const TRANSFERS = 5;
const MIB = 1024 ** 2;
const TRANSFER_BYTES = 64 * MIB;
/** Of the reference, which has no choice. */
const MEMORY_MIB = 512;

export const exec: Benchmark = async (context) => {
  await using server = await startServer({ node: { default_memory_mb: MEMORY_MIB } });
  await using bare = await startBareAgent();
  const job = await server.submit({ script: "exec sleep infinity" });
  await server.running(job);
  await server.poolFilled(3);
  await roundTrips(context, { server, bare, job });
  await throughput(context, { server, bare, job });
};

interface Parties {
  readonly server: TestServer;
  readonly bare: BareAgent;
  readonly job: string;
}

async function timed(work: () => Promise<void>): Promise<number> {
  const begunMs = performance.now();
  await work();
  return performance.now() - begunMs;
}

async function roundTrips({ say, note }: BenchContext, { server, bare, job }: Parties): Promise<void> {
  const client = createBenchClient(server.url, server.token);
  const samples = { bare: [] as number[], plain: [] as number[], streamed: [] as number[] };
  for (let n = 0; n < RUNS; n++) {
    samples.bare.push(await bare.measure("exec"));
    samples.plain.push(await timed(async () => assert.equal(await client.exec(job, "echo hi"), "hi\n")));
    samples.streamed.push(await timed(() => runStreamed(server, job, { command: "echo hi" })));
  }
  client.close();
  const figures = {
    bare: summarize(samples.bare),
    plain: summarize(samples.plain),
    streamed: summarize(samples.streamed),
  };
  say(`exec of a short command in a running VM, ${RUNS} each, in turn`);
  say(showSummary("reference: the bare agent", figures.bare));
  for (const [name, summary] of [
    ["POST .../exec", figures.plain],
    ["WebSocket, from connecting to the end", figures.streamed],
  ] as const) {
    say(showSummary(name, summary));
    say(
      `  ${"".padEnd(44)} ${round(summary.p50 / figures.bare.p50, 2)} and ${round(summary.p99 / figures.bare.p99, 2)} times the reference`,
    );
  }
  note("exec_round_trip", figures);
}

/** A command that must end well. */
async function runStreamed(
  server: TestServer,
  job: string,
  options: { readonly command: string; readonly inputBytes?: number; readonly outputBytes?: number },
): Promise<void> {
  const running = await openStreamedCommand(server, job, options);
  assert.equal(await running.ended, 0);
  if (options.outputBytes !== undefined) assert.equal(running.received(), options.outputBytes);
}

async function throughput({ say, note }: BenchContext, { server, bare, job }: Parties): Promise<void> {
  const commands = {
    stdout: { command: `head -c ${TRANSFER_BYTES} /dev/zero`, outputBytes: TRANSFER_BYTES },
    stdin: { command: "cat >/dev/null", inputBytes: TRANSFER_BYTES },
  } as const;
  say(`streamed exec, ${TRANSFER_BYTES / MIB} MiB, medians of ${TRANSFERS} in turn, MiB/s`);
  for (const what of ["stdout", "stdin"] as const) {
    const samples = { bare: [] as number[], streamed: [] as number[] };
    for (let n = 0; n < TRANSFERS; n++) {
      samples.bare.push(await bare.measure(what, TRANSFER_BYTES));
      samples.streamed.push(await timed(() => runStreamed(server, job, commands[what])));
    }
    const [reference = 0, streamed = 0] = [samples.bare, samples.streamed].map(
      (ms) => (TRANSFER_BYTES / MIB / percentile(ms, 0.5)) * 1_000,
    );
    say(`  ${what}: ${round(streamed)}, bare agent ${round(reference)}: ${round(streamed / reference, 2)} of it`);
    note(`exec_${what}_mib_s`, { streamed: round(streamed), bare: round(reference) });
  }
}
