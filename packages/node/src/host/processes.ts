/**
 * Processes of the host by (pid, start time): a pid alone may have been given to another process meanwhile.
 */
import { readdir, readFile } from "node:fs/promises";
import { sleep } from "@mags/core";

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

/** SIGKILL, then waits until the process is gone. Killing a process that is gone is no error. */
export async function killAndWait(identity: ProcessIdentity, deadlineMs = 10_000): Promise<void> {
  for (let waited = 0; await isAlive(identity); waited += 5) {
    if (waited > deadlineMs) throw new Error(`process ${identity.pid} did not end within ${deadlineMs} ms of SIGKILL`);
    try {
      process.kill(identity.pid, "SIGKILL");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
    await sleep(5);
  }
}

/** All processes of the host, by real uid; none that ended and whose parent has only not asked about it yet. */
export async function processesByUid(): Promise<Map<number, ProcessIdentity[]>> {
  const found = new Map<number, ProcessIdentity[]>();
  for (const name of await readdir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const status = await readFile(`/proc/${name}/status`, "latin1").catch(() => "");
    const uid = /^Uid:\s+(\d+)/m.exec(status)?.[1];
    const identity = uid === undefined ? undefined : await identify(Number(name));
    if (!identity || !(await isAlive(identity))) continue;
    const list = found.get(Number(uid)) ?? [];
    list.push(identity);
    found.set(Number(uid), list);
  }
  return found;
}

/** Names this boot of the machine: identities of processes mean nothing after another. */
export async function bootId(): Promise<string> {
  return (await readFile("/proc/sys/kernel/random/boot_id", "latin1")).trim();
}

/** Waits for a process to end by itself, and no longer than that. */
export async function untilEnded(identity: ProcessIdentity, patienceMs: number): Promise<void> {
  for (let waited = 0; waited < patienceMs && (await isAlive(identity)); waited += 5) await sleep(5);
}
