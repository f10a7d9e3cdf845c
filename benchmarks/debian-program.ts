/** Programs that benchmarks compare with: Debian's packages, unpacked, as the host's own suite may have versions that are years old. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { run } from "@mags/e2e/harness";

const STORE = "/var/cache/mags";

/** @returns path of a program that runs without its tree's libraries. */
export async function debianProgram(
  { packageName, program }: { readonly packageName: string; readonly program: string },
  say: (line: string) => void,
): Promise<string> {
  const tree = join(STORE, packageName);
  const path = join(tree, program);
  if (existsSync(path)) return path;
  say(`  unpacking ${packageName} from Debian's packages`);
  const script = join(import.meta.dirname, "unpack-debian.sh");
  const { exitCode, errors } = await run(script, [tree, packageName], { timeoutMs: 300_000 });
  if (exitCode !== 0) throw new Error(`${packageName} could not be unpacked: ${errors}`);
  return path;
}
