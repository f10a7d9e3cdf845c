import { readFile } from "node:fs/promises";

export interface HostMemory {
  readonly totalMiB: number;
  readonly availableMiB: number;
}

export async function hostMemory(): Promise<HostMemory> {
  const text = await readFile("/proc/meminfo", "latin1");
  const field = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(text)?.[1] ?? 0) / 1024;
  return { totalMiB: Math.floor(field("MemTotal")), availableMiB: Math.floor(field("MemAvailable")) };
}
