/** What the server itself takes of memory and processor: with no VM, with fifty, and with two hundred commands streamed. */
import { startServer } from "@mags/e2e/harness";
import type { Benchmark } from "./context.ts";
import { openStreamedCommand, type StreamedCommand } from "./exec-socket.ts";
import { usageOf } from "./processes.ts";
import { percentile, round } from "./statistics.ts";

const VMS = 50;
const STREAMS_PER_VM = 4;
const WATCHED_MS = 20_000;
const SETTLING_MS = 5_000;
const LINE = "a line a second, of about so many bytes";

const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

interface Watched {
  readonly resident_mib: number;
  readonly processor_percent: number;
}

/** Median of the resident memory, and the share of one processor, over a while. */
async function watch(pid: number): Promise<Watched> {
  await pause(SETTLING_MS);
  const before = await usageOf(pid);
  const begunMs = performance.now();
  const resident: number[] = [];
  while (performance.now() - begunMs < WATCHED_MS) {
    resident.push((await usageOf(pid)).residentMib);
    await pause(500);
  }
  const after = await usageOf(pid);
  const share = (after.processorMs - before.processorMs) / (performance.now() - begunMs);
  return { resident_mib: percentile(resident, 0.5), processor_percent: round(share * 100) };
}

export const streams: Benchmark = async ({ say, note }) => {
  const pool = { min_idle: 1, max_idle: 1, slot_share: 0 };
  // Their memory is promised, not used.
  await using server = await startServer({ node: { pool, memory_overcommit: 8 } });
  await server.poolFilled(1);
  const { pid } = await server.serverStatus();
  const figures: Record<string, Watched> = {};
  const take = async (name: string) => {
    const watched = await watch(pid);
    figures[name] = watched;
    say(`  ${name.padEnd(44)} ${watched.resident_mib} MiB, ${watched.processor_percent} % of a processor`);
  };

  say("the server's resident memory and processor time");
  await take("no VM");
  const jobs: string[] = [];
  for (let n = 0; n < VMS; n++) {
    const job = await server.submit({ script: "exec sleep infinity" });
    await server.running(job, 120_000);
    jobs.push(job);
  }
  await take(`${VMS} VMs`);
  // A shell that waits for input that never comes: what starts a process each second keeps emulated guests busy.
  const command = `exec bash -c "exec 3<> <(:); while ! read -rt 1 -u 3; do echo '${LINE}'; done"`;
  const running: StreamedCommand[] = [];
  for (const job of jobs)
    for (let n = 0; n < STREAMS_PER_VM; n++) {
      const stream = await openStreamedCommand(server, job, { command });
      await stream.started;
      running.push(stream);
    }
  const lines = () => running.map((stream) => Math.floor(stream.received() / (LINE.length + 1)));
  const [before, begunMs] = [lines(), performance.now()];
  await take(`${VMS} VMs, ${running.length} streams`);
  const seconds = (performance.now() - begunMs) / 1_000;
  const rates = lines().map((count, n) => (count - (before[n] ?? 0)) / seconds);
  say(
    `  lines a second and stream: median ${round(percentile(rates, 0.5), 2)}, fewest ${round(percentile(rates, 0), 2)}`,
  );
  for (const stream of running) stream.close();
  await take(`${VMS} VMs, the streams hung up`);
  note("streams", { ...figures, lines_per_second: { p50: percentile(rates, 0.5), min: percentile(rates, 0) } });
};
