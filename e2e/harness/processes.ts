/** Processes of this machine that a test ends by force. */
import { readdir, readFile } from "node:fs/promises";

/** Pid of a process whose command line has these words in a row. */
export async function findProcess(...words: readonly string[]): Promise<number | undefined> {
  const wanted = `\0${words.join("\0")}\0`;
  for (const name of await readdir("/proc")) {
    const args = /^\d+$/.test(name) ? await readFile(`/proc/${name}/cmdline`, "utf8").catch(() => "") : "";
    if (args.includes(wanted)) return Number(name);
  }
  return undefined;
}

/** One that has gone meanwhile is no error. */
export function trySigkill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}
