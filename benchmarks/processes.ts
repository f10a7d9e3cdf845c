/** What the kernel says of a process. */
import { readFile } from "node:fs/promises";

const TICKS_PER_SECOND = 100;

export interface Usage {
  readonly processorMs: number;
  readonly residentMib: number;
}

export async function usageOf(pid: number): Promise<Usage> {
  const stat = await readFile(`/proc/${pid}/stat`, "latin1");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const resident = /^VmRSS:\s+(\d+)/m.exec(await readFile(`/proc/${pid}/status`, "latin1"))?.[1];
  return {
    processorMs: ((Number(fields[11]) + Number(fields[12])) * 1_000) / TICKS_PER_SECOND,
    residentMib: Math.round(Number(resident) / 1024),
  };
}
