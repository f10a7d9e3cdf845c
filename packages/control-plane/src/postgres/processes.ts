import { readdir, readFile, stat } from "node:fs/promises";

export interface ServerProcess {
  readonly pid: number;
  /** Clock ticks from boot to its start: with the pid it names one process for ever. */
  readonly startTicks: string;
}

/** Reads who has this pid now; null when nobody has, or only a dead process that was not reaped. */
export async function readProcess(pid: number): Promise<ServerProcess | null> {
  try {
    const line = await readFile(`/proc/${pid}/stat`, "utf8");
    // The name in parentheses may hold anything, so fields are counted from the last one: state is the third.
    const fields = line.slice(line.lastIndexOf(")") + 2).split(" ");
    const [state, startTicks] = [fields[0], fields[19]];
    if (startTicks === undefined || state === "Z" || state === "X") return null;
    return { pid, startTicks };
  } catch {
    return null;
  }
}

export async function isAlive(process: ServerProcess): Promise<boolean> {
  const now = await readProcess(process.pid);
  return now?.startTicks === process.startTicks;
}

/**
 * Finds every process of a cluster: PostgreSQL runs all of them in the cluster's directory, which is the same inode
 * on both sides of the jail.
 */
export async function processesIn(clusterDir: string, uid: number): Promise<ServerProcess[]> {
  const cluster = await stat(clusterDir).catch(() => null);
  if (!cluster) return [];
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name)).map(Number);
  const found = await Promise.all(
    pids.map(async (pid) => {
      const owner = await stat(`/proc/${pid}`).catch(() => null);
      if (owner?.uid !== uid) return null;
      const cwd = await stat(`/proc/${pid}/cwd`).catch(() => null);
      return cwd?.ino === cluster.ino && cwd.dev === cluster.dev ? readProcess(pid) : null;
    }),
  );
  return found.filter((process) => process !== null);
}

/** Sends a signal; a process that is gone already is no error. */
export function trySignal(process_: ServerProcess, signal: NodeJS.Signals): void {
  try {
    process.kill(process_.pid, signal);
  } catch {
    // Gone between the look and the signal.
  }
}
