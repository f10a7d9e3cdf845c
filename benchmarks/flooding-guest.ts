/** What other jobs' starts notice of one guest that floods the server, against a guest that only burns its processor. */
import { startServer } from "@mags/e2e/harness";
import { type BenchClient, createBenchClient } from "./api.ts";
import type { Benchmark } from "./context.ts";
import { usageOf } from "./processes.ts";
import { round, showSummary, summarize } from "./statistics.ts";

/** So many are parked beforehand, as a busy host parks no more at the lowest priority. */
const RUNS = Number(process.env.BENCH_RUNS ?? 20);
const PAUSE_MS = 300;
const WARM_UP_MS = 3_000;

const GUESTS: Readonly<Record<string, string | null>> = {
  "no other guest": null,
  "a guest that burns its processor": "while :; do :; done",
  "a guest that prints without end (yes)": "yes",
  "a guest that prints byte by byte, to stdout and stderr in turn":
    'exec python3 -c \'import os\nwhile True: os.write(1, b"a"); os.write(2, b"b")\'',
};

export const floodingGuest: Benchmark = async ({ say, note }) => {
  await using server = await startServer({ node: { pool: { min_idle: RUNS + 1, slot_share: 0 } } });
  const { pid } = await server.serverStatus();
  const client = createBenchClient(server.url, server.token);
  await server.poolFilled(RUNS + 1);
  await client.runJob({ script: "echo warm" });
  say(`starts beside a guest that floods: ${RUNS} jobs each`);
  for (const [name, script] of Object.entries(GUESTS)) {
    await server.poolFilled(RUNS + 1);
    const flood = script === null ? undefined : await server.submit({ script });
    await new Promise((resolve) => setTimeout(resolve, WARM_UP_MS));
    const figures = await measure(client, pid);
    say(showSummary(name, figures.first_byte));
    say(`  ${"".padEnd(44)} server: ${figures.server_percent} % of a processor, ${figures.resident_mib} MiB`);
    note(`beside_${name}`, figures);
    if (flood !== undefined) await server.mags(["stop", flood]);
  }
  client.close();
};

async function measure(client: BenchClient, pid: number) {
  const before = await usageOf(pid);
  const began = performance.now();
  const firstBytes: number[] = [];
  for (let n = 0; n < RUNS; n++) {
    firstBytes.push((await client.runJob({ script: "echo hi" })).firstByteMs);
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
  const after = await usageOf(pid);
  return {
    first_byte: summarize(firstBytes),
    server_percent: round(((after.processorMs - before.processorMs) / (performance.now() - began)) * 100),
    resident_mib: after.residentMib,
  };
}
