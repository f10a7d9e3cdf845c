/** One server per data directory: a lock that the kernel lets go when the process ends, however it ends. */
import { spawnSync } from "node:child_process";
import { open } from "node:fs/promises";
import { AppError } from "@mags/core";

/** @throws AppError `unavailable` when another process holds it. Closing the result lets go. */
export async function lockDirectory(path: string): Promise<AsyncDisposable> {
  const file = await open(path, "a", 0o600);
  // flock(2) belongs to the open file description, which this process keeps when the helper has ended.
  const result = spawnSync("flock", ["--nonblock", "--exclusive", "3"], {
    stdio: ["ignore", "ignore", "pipe", file.fd],
  });
  if (result.status !== 0) {
    await file.close();
    if (result.error) throw result.error;
    throw new AppError("unavailable", `${path} is locked: another magsd uses this data directory; stop it first`);
  }
  return file;
}
