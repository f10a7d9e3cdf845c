/** Programs of the Debian trees that tests use, each in a mount namespace of its own, with one folder of the host as /mnt. */
import { existsSync } from "node:fs";

/** What it mounts is gone with the program, and the program with this process, however that ends. */
const SCRIPT = `
tree=$1 folder=$2
shift 2
mount --bind "$folder" "$tree/mnt"
mount --rbind /dev "$tree/dev"
mount --rbind /proc "$tree/proc"
exec setpriv --pdeathsig KILL chroot "$tree" "$@"
`;

export interface DebianTree {
  /** The command that runs a program of it. */
  command(folder: string, program: string, args: readonly string[]): readonly [file: string, ...args: string[]];
}

/** @throws when the tree was not built. */
export function findDebianTree(name: "ceph" | "chromium"): DebianTree {
  const tree = process.env[`MAGS_${name.toUpperCase()}`] ?? `/var/cache/mags/${name}`;
  if (!existsSync(tree)) throw new Error(`there is no ${name} at ${tree}: run ./test, which builds it`);
  const enter = ["--mount", "--propagation", "private", "sh", "-euc", SCRIPT, "sh", tree];
  return { command: (folder, program, args) => ["unshare", ...enter, folder, program, ...args] };
}
