/**
 * Which process a file belongs to, as a part of the file's name: what a killed process left is told from what another
 * has under way. Names of another boot of the machine are of nobody; processes of another PID namespace count as alive,
 * because their numbers say nothing here.
 */
import { randomBytes } from "node:crypto";
import { readlink } from "node:fs/promises";
import { bootId, identify, isAlive } from "@mags/core";

export interface Owners {
  /** A name that no other call gives, in this process or another. */
  ownName(): string;
  /** True when the process that made this name is gone; false also for a name of another form. */
  isAbandoned(name: string): Promise<boolean>;
  /** The process that made this name, for people. */
  describe(name: string): string;
}

const NAME = /^([0-9a-f]{12})-(\d+)-(\d+)-(\d+)-[0-9a-f]{16}$/;

export async function loadOwners(): Promise<Owners> {
  const boot = (await bootId()).replaceAll("-", "").slice(0, 12);
  const namespace = /\d+/.exec(await readlink("/proc/self/ns/pid"))?.[0] ?? "0";
  const own = await identify(process.pid);
  if (!own) throw new Error("this process is not in /proc");
  const prefix = [boot, namespace, own.pid, own.startTime].join("-");

  return {
    ownName: () => `${prefix}-${randomBytes(8).toString("hex")}`,
    async isAbandoned(name) {
      const [, itsBoot, itsNamespace, pid, startTime] = NAME.exec(name) ?? [];
      if (itsBoot === undefined || startTime === undefined) return false;
      if (itsBoot !== boot) return true;
      return itsNamespace === namespace && !(await isAlive({ pid: Number(pid), startTime }));
    },
    describe(name) {
      const [, itsBoot, itsNamespace, pid] = NAME.exec(name) ?? [];
      if (itsBoot === undefined) return name;
      return itsNamespace === namespace ? `process ${pid}` : `process ${pid} of another PID namespace`;
    },
  };
}
