/** A disk of its own that can be full: an ext4 file system in a file, mounted in the mount namespace of the test. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdir, rm, statfs, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { makeTempDir } from "./temp-dir.ts";

const ROOM_FOR_REST = 1024 ** 2;
const TRIES = 10;

export interface SmallDisk extends AsyncDisposable {
  /** Where it is mounted. */
  readonly path: string;
  /** Leaves no free block, also where others write meanwhile. @throws Error when there is room all the same. */
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

  const free = async () => {
    const { bavail, bsize } = await statfs(path);
    return bavail * bsize;
  };

  // What a first try leaves is taken as it comes.
  const takeRest = () =>
    void execFileSync("sh", ["-c", `cat /dev/zero >> ${rest}; sync -f ${path}; cat /dev/zero >> ${rest}; true`], {
      stdio: "ignore",
    });

  return {
    path,
    async fill() {
      execFileSync("sync", ["-f", path]);
      // Others may take some of it meanwhile: `fallocate` then leaves the rest, which is little and is taken as it comes.
      const most = (await free()) - ROOM_FOR_REST;
      if (most > 0) spawnSync("fallocate", ["-l", String(most), filler], { stdio: "ignore" });
      for (let tries = 0; tries < TRIES; tries++) {
        takeRest();
        if ((await free()) <= ROOM_FOR_REST) return;
      }
      throw new Error(`${path} has ${await free()} bytes of room after it was filled ${TRIES} times`);
    },
    takeRest,
    async makeRoom() {
      for (const file of [filler, rest]) await rm(file, { force: true });
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
