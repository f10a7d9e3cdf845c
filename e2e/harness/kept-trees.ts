/** Trees of random files inside guests, known by hashes that the guest makes itself. */
import type { SeededRandom } from "@mags/test-kit";

const LOCK = "/run/tree.lock";
const TREE = "/root/tree";
const FILES = 16;
const MAX_KIB = 500;

/** A command whose reply was lost may go on: who comes next waits for it. */
const alone = (script: string) => `flock ${LOCK} sh -ec '${script}'`;

/** Prints a hash and the path of each file; then all of them are on the guest's disk. */
export const SUMS = alone(`mkdir -p ${TREE}; cd ${TREE}; sync; find . -type f | LC_ALL=C sort | xargs -r sha256sum`);

/** Some files of random sizes are made, made anew, added to, or removed. */
export function randomWrites(random: SeededRandom): string {
  const lines = [`mkdir -p ${TREE}; cd ${TREE}`];
  for (let n = random.between(2, 8); n > 0; n--) {
    const file = `d${random.between(1, 3)}/f${random.between(1, FILES)}`;
    const bytes = random.between(0, MAX_KIB) * 1024 + random.between(0, 1023);
    const write = `mkdir -p ${file.split("/")[0]}; head -c ${bytes} /dev/urandom`;
    lines.push(random.pick([`${write} >${file}`, `${write} >${file}`, `${write} >>${file}`, `rm -f ${file}`]));
  }
  return alone(lines.join("; "));
}
