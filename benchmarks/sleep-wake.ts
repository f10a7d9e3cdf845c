/** What it costs to put a computer of 1 GiB to sleep that ran Python and Node, to wake it, and to keep many that sleep. */
import { execFileSync } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { startServer, type TestServer } from "@mags/e2e/harness";
import type { Benchmark } from "./context.ts";
import { percentile, round, showSummary, summarize } from "./statistics.ts";

const ROUNDS = Number(process.env.BENCH_RUNS ?? 15);
const SLEEPERS = Number(process.env.BENCH_SLEEPERS ?? 200);
const JOBS = "/api/v1/mags-jobs";
const MIB = 1024 ** 2;
const WORK = "python3 -c 'import json, http.server, sqlite3'; node -e 'require(\"http\"); console.log(1)'";

async function call(
  server: TestServer,
  method: string,
  path: string,
  body?: unknown,
): Promise<Record<string, unknown>> {
  const reply = await server.api.call(method, JOBS + path, body);
  if (reply.status >= 300) throw new Error(`${method} ${path}: ${reply.status} ${JSON.stringify(reply.body)}`);
  return reply.body as Record<string, unknown>;
}

async function timed<T>(work: () => Promise<T>): Promise<number> {
  const began = performance.now();
  await work();
  return performance.now() - began;
}

async function makeSandbox(server: TestServer): Promise<string> {
  const id = await server.submit({ script: `${WORK}; sync`, persistent: true });
  for (;;) {
    const status = await server.status(id);
    if (status.exit_code !== undefined) return id;
    if (status.status === "error") throw new Error(status.error_message);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Files of all sandboxes, as they take place on disk. */
function storedBytes(server: TestServer): { readonly disks: number; readonly memories: number } {
  const of = (name: string) => {
    const text = execFileSync("find", [join(server.dataDir, "sandboxes"), "-name", name, "-printf", "%b\n"], {
      encoding: "utf8",
    });
    return text.split("\n").reduce((sum, blocks) => sum + Number(blocks) * 512, 0);
  };
  return { disks: of("disk.qcow2"), memories: of("memory") };
}

async function residentMib(pid: number): Promise<number> {
  return Number(/VmRSS:\s+(\d+)/.exec(await readFile(`/proc/${pid}/status`, "latin1"))?.[1]) / 1024;
}

export const sleepWake: Benchmark = async ({ say, note }) => {
  await using server = await startServer();
  await server.poolFilled(3);
  const id = await makeSandbox(server);
  const exec = () => call(server, "POST", `/${id}/exec`, { command: "echo hi" });
  await exec();
  const samples = { awake: [] as number[], sleep: [] as number[], warm: [] as number[], cold: [] as number[] };
  const memoryMib: number[] = [];
  for (let round = 0; round < 2 * ROUNDS; round++) {
    samples.awake.push(await timed(exec));
    samples.sleep.push(await timed(() => call(server, "POST", `/${id}/sleep`)));
    memoryMib.push(storedBytes(server).memories / MIB);
    const coldCache = round % 2 === 1;
    if (coldCache) {
      execFileSync("sync");
      await writeFile("/proc/sys/vm/drop_caches", "3");
    }
    samples[coldCache ? "cold" : "warm"].push(await timed(exec));
    await call(server, "POST", `/${id}/exec`, { command: WORK });
  }
  say(
    `sleep and wake of a guest of 1 GiB that ran python and node, ${2 * ROUNDS} times; its memory file: ${round(percentile(memoryMib, 0.5))} MiB`,
  );
  say(showSummary("sleep (call → asleep)", summarize(samples.sleep)));
  say(showSummary("wake → answer of exec, page cache warm", summarize(samples.warm)));
  say(showSummary("wake → answer of exec, page cache of the host dropped", summarize(samples.cold)));
  say(showSummary("reference: exec in the same guest awake", summarize(samples.awake)));
  note("sleep_wake", {
    ...Object.fromEntries(Object.entries(samples).map(([name, values]) => [name, summarize(values)])),
    memory_mib: summarize(memoryMib),
  });
  await call(server, "POST", `/${id}/stop`);

  const { pid } = await server.serverStatus();
  const before = await residentMib(pid);
  for (let n = 0; n < SLEEPERS; n++) await call(server, "POST", `/${await makeSandbox(server)}/sleep`);
  const stored = storedBytes(server);
  const figures = {
    sleepers: SLEEPERS,
    disk_mib_each: round(stored.disks / MIB / SLEEPERS),
    memory_file_mib_each: round(stored.memories / MIB / SLEEPERS),
    server_mib_before: round(before),
    server_mib_after: round(await residentMib(pid)),
  };
  await server.magsd("stop");
  const restart_ms = round(await timed(() => server.start()));
  say(
    `${SLEEPERS} that sleep: ${figures.disk_mib_each} MiB of disk and ${figures.memory_file_mib_each} MiB of memory file each; ` +
      `the server takes ${figures.server_mib_after} MiB, ${figures.server_mib_before} before; a restart with them takes ${restart_ms} ms`,
  );
  note("sleepers", { ...figures, restart_ms });
};
