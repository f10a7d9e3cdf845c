/**
 * Processes of this machine by (pid, start time): a pid alone may have been given to another process meanwhile.
 */
import { readdir, readFile } from "node:fs/promises";

export interface ProcessIdentity {
  readonly pid: number;
  /** Field 22 of /proc/PID/stat: clock ticks after boot. */
  readonly startTime: string;
}

interface ProcessStat {
  readonly state: string;
  readonly startTime: string;
}

/** @param of  A pid, or `PID/task/TID`. */
async function statOf(of: number | string): Promise<ProcessStat | undefined> {
  try {
    const stat = await readFile(`/proc/${of}/stat`, "latin1");
    // The command name stands in parentheses and may hold spaces and parentheses itself.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return { state: fields[0] ?? "", startTime: fields[19] ?? "" };
  } catch {
    return undefined;
  }
}

export async function identify(pid: number): Promise<ProcessIdentity | undefined> {
  const stat = await statOf(pid);
  return stat ? { pid, startTime: stat.startTime } : undefined;
}

/** True while any thread of that very process runs. One whose first thread ended looks like a zombie. */
export async function isAlive({ pid, startTime }: ProcessIdentity): Promise<boolean> {
  const stat = await statOf(pid);
  if (stat?.startTime !== startTime) return false;
  if (runs(stat)) return true;
  const threads = await readdir(`/proc/${pid}/task`).catch(() => []);
  return (await Promise.all(threads.map((tid) => statOf(`${pid}/task/${tid}`)))).some(runs);
}

function runs(stat: ProcessStat | undefined): boolean {
  return stat !== undefined && stat.state !== "Z" && stat.state !== "X";
}

/** Names this boot of the machine: identities of processes mean nothing after another. */
export async function bootId(): Promise<string> {
  return (await readFile("/proc/sys/kernel/random/boot_id", "latin1")).trim();
}
