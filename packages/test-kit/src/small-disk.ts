/** A disk of its own that can be full: an ext4 file system in a file, mounted in the mount namespace of the test. */
import { execFileSync } from "node:child_process";
import { mkdir, rm, statfs, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { makeTempDir } from "./temp-dir.ts";

export interface SmallDisk extends AsyncDisposable {
  /** Where it is mounted. */
  readonly path: string;
  /** Leaves no free block. */
  fill(): Promise<void>;
  /** Takes what was freed since. */
  takeRest(): void;
  /** Gives back what `fill` has taken. */
  makeRoom(): Promise<void>;
}

export async function mountSmallDisk(bytes: number): Promise<SmallDisk> {
  await using scope = new AsyncDisposableStack();
  const temp = scope.use(await makeTempDir());
  const path = join(temp.path, "disk");
  const image = join(temp.path, "image");
  await mkdir(path);
  await writeFile(image, "");
  await truncate(image, bytes);
  execFileSync("mkfs.ext4", ["-q", "-m", "0", "-F", image]);
  execFileSync("mount", ["-o", "loop", image, path]);
  scope.defer(() => void execFileSync("umount", [path]));
  const owned = scope.move();
  const filler = join(path, "filler");
  const rest = `${filler}-2`;

  // What a first try leaves is taken as it comes.
  const takeRest = () =>
    void execFileSync("sh", ["-c", `cat /dev/zero >> ${rest}; sync -f ${path}; cat /dev/zero >> ${rest}; true`], {
      stdio: "ignore",
    });

  return {
    path,
    async fill() {
      execFileSync("sync", ["-f", path]);
      const { bavail, bsize } = await statfs(path);
      execFileSync("fallocate", ["-l", String(bavail * bsize - 1024 ** 2), filler]);
      takeRest();
    },
    takeRest,
    async makeRoom() {
      for (const file of [filler, rest]) await rm(file, { force: true });
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
