/** Programs of a Debian tree with Ceph, with one folder of the host as /mnt. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { open } from "node:fs/promises";
import { promisify } from "node:util";
import { findDebianTree } from "../debian-tree.ts";

export interface CephPrograms {
  /** Runs a program to its end. Ceph's wait for ever for a monitor that does not answer: each gets a deadline. */
  run(program: string, args: readonly string[]): Promise<string>;
  /** Starts one that stays. What it says goes to `<folder>/log/<name>.out`. */
  start(name: string, program: string, args: readonly string[]): Promise<ChildProcess>;
}

const RUN_MS = 60_000;

/** @throws when the tree was not built. */
export function findCephPrograms(folder: string): CephPrograms {
  const tree = findDebianTree("ceph");
  return {
    async run(program, args) {
      const [file, ...rest] = tree.command(folder, program, args);
      const { stdout } = await promisify(execFile)(file, rest, { timeout: RUN_MS, killSignal: "SIGKILL" });
      return stdout;
    },
    async start(name, program, args) {
      await using log = await open(`${folder}/log/${name}.out`, "a");
      const [file, ...rest] = tree.command(folder, program, args);
      return spawn(file, rest, { stdio: ["ignore", log.fd, log.fd] });
    },
  };
}
