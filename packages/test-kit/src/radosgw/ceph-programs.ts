/** Programs of a Debian tree with Ceph, each in a mount namespace of its own, with one folder of the host as /mnt. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { open } from "node:fs/promises";
import { promisify } from "node:util";

const DEFAULT_TREE = "/var/cache/mags/ceph";

/** What it mounts is gone with the program, and the program with this process, however that ends. */
const SCRIPT = `
tree=$1 folder=$2
shift 2
mount --bind "$folder" "$tree/mnt"
mount --rbind /dev "$tree/dev"
mount --rbind /proc "$tree/proc"
exec setpriv --pdeathsig KILL chroot "$tree" "$@"
`;

export interface CephPrograms {
  /** Runs a program to its end. Ceph's wait for ever for a monitor that does not answer: each gets a deadline. */
  run(program: string, args: readonly string[]): Promise<string>;
  /** Starts one that stays. What it says goes to `<folder>/log/<name>.out`. */
  start(name: string, program: string, args: readonly string[]): Promise<ChildProcess>;
}

const RUN_MS = 60_000;

/** @throws when the tree was not built. */
export function findCephPrograms(folder: string): CephPrograms {
  const tree = process.env.MAGS_CEPH ?? DEFAULT_TREE;
  if (!existsSync(tree)) throw new Error(`there is no Ceph at ${tree}: run ./test, which builds it`);
  const command = (program: string, args: readonly string[]) => [
    ...["--mount", "--propagation", "private", "sh", "-euc", SCRIPT, "sh", tree, folder, program],
    ...args,
  ];
  return {
    async run(program, args) {
      const options = { timeout: RUN_MS, killSignal: "SIGKILL" } as const;
      const { stdout } = await promisify(execFile)("unshare", command(program, args), options);
      return stdout;
    },
    async start(name, program, args) {
      await using log = await open(`${folder}/log/${name}.out`, "a");
      return spawn("unshare", command(program, args), { stdio: ["ignore", log.fd, log.fd] });
    },
  };
}
