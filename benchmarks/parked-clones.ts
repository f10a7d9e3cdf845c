/** What fifty parked clones cost: memory, by what it is made of, and processor time. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { startServer } from "@mags/e2e/harness";
import type { Benchmark } from "./context.ts";
import { round } from "./statistics.ts";

const CLONES = 50;
const IDLE_MS = 20_000;
const TICKS_PER_SECOND = 100;

async function availableMb(): Promise<number> {
  return Number(/MemAvailable:\s+(\d+)/.exec(await readFile("/proc/meminfo", "latin1"))?.[1]) / 1024;
}

/** Private memory of a process in MB, by kind of mapping. */
async function privateMemory(pid: number): Promise<Record<string, number>> {
  const kinds: Record<string, number> = {};
  let kind = "";
  for (const line of (await readFile(`/proc/${pid}/smaps`, "latin1")).split("\n")) {
    const mapping = /^[0-9a-f]+-[0-9a-f]+ (\S+) \S+ \S+ \S+\s*(.*)$/.exec(line);
    if (mapping) kind = kindOf(mapping[1] ?? "", mapping[2] ?? "");
    const size = /^Private_(?:Dirty|Clean):\s+(\d+)/.exec(line)?.[1];
    if (size) kinds[kind] = (kinds[kind] ?? 0) + Number(size) / 1024;
  }
  return kinds;
}

function kindOf(permissions: string, name: string): string {
  if (name.endsWith("/memory")) return "guest memory";
  if (permissions.includes("x") && name === "") return "emulated code";
  if (permissions.includes("w") && permissions.includes("x")) return "emulated code";
  if (name === "[heap]") return "heap";
  if (name === "" || name.startsWith("[anon")) return "anonymous";
  if (name.startsWith("[stack")) return "stack";
  return "program and libraries";
}

async function cpuSeconds(pids: readonly number[]): Promise<number> {
  let ticks = 0;
  for (const pid of pids) {
    const stat = await readFile(`/proc/${pid}/stat`, "latin1");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    ticks += Number(fields[11]) + Number(fields[12]);
  }
  return ticks / TICKS_PER_SECOND;
}

export const parkedClones: Benchmark = async ({ say, note }) => {
  await using server = await startServer({ node: { pool: { min_idle: 1, max_idle: 1 } } });
  await server.poolFilled(1);
  const before = await availableMb();
  await server.magsd("stop");
  await server.configure({ pool: { min_idle: CLONES, max_idle: CLONES } });
  await server.start();
  await server.poolFilled(CLONES);
  const after = await availableMb();
  const names = await readdir(join(server.dataDir, "vms"));
  const pids = (await Promise.all(names.map((name) => server.qemuPid(name).catch(() => undefined)))).filter(
    (pid) => pid !== undefined,
  );
  const perClone = (before - after) / (CLONES - 1);
  const kinds = new Map<string, number>();
  for (const pid of pids)
    for (const [kind, mb] of Object.entries(await privateMemory(pid)))
      kinds.set(kind, (kinds.get(kind) ?? 0) + mb / pids.length);
  const cpuBefore = await cpuSeconds(pids);
  await new Promise((resolve) => setTimeout(resolve, IDLE_MS));
  const share = (await cpuSeconds(pids)) - cpuBefore;
  const percent = round((share / (IDLE_MS / 1000)) * 100, 2);
  say(`${pids.length} parked clones of 1 GiB`);
  say(`  memory per clone (difference of MemAvailable): ${round(perClone)} MB`);
  for (const [kind, mb] of [...kinds].sort((a, b) => b[1] - a[1])) say(`    private, ${kind}: ${round(mb)} MB`);
  say(`  processor time of all of them: ${percent} % of one core`);
  note("parked_clones", {
    count: pids.length,
    mb_per_clone: round(perClone),
    private_mb: Object.fromEntries(kinds),
    idle_cpu_percent: percent,
  });
};
