/** Finds processes of the host by their users, and waits for their ends. */
import { readdir, readFile } from "node:fs/promises";
import { identify, isAlive, type ProcessIdentity, sleep } from "@mags/core";

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

/** Waits for a process to end by itself, and no longer than that. */
export async function untilEnded(identity: ProcessIdentity, patienceMs: number): Promise<void> {
  for (let waited = 0; waited < patienceMs && (await isAlive(identity)); waited += 5) await sleep(5);
}
