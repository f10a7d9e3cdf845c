import { spawn } from "node:child_process";
import { once } from "node:events";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { AppError } from "@mags/core";

/**
 * Keeps a second server off a data directory. The lock belongs to the open file, so it ends with this process, however
 * that ends; it covers what PostgreSQL's own lock does not: making the cluster and clearing up after a crash.
 * @throws AppError `unavailable` when another process holds it.
 */
export async function lockDataDir(dataDir: string): Promise<AsyncDisposable> {
  const file = await open(join(dataDir, "lock"), "a", 0o600);
  try {
    // flock(1) locks the open file it inherits; the lock stays with ours when it exits.
    const flock = spawn("flock", ["--nonblock", "--exclusive", "3"], {
      stdio: ["ignore", "ignore", "ignore", file.fd],
    });
    const [code] = await once(flock, "exit");
    if (code !== 0)
      throw new AppError("unavailable", `another magsd is using ${dataDir}: stop it first, or give this one its own`);
  } catch (error) {
    await file.close();
    throw error;
  }
  return { [Symbol.asyncDispose]: () => file.close() };
}
