import { spawn } from "node:child_process";
import { once } from "node:events";
import { open } from "node:fs/promises";
import { dirname } from "node:path";
import { AppError } from "./errors.ts";

/** A process that was killed holds its locks until the last of its threads has ended, a moment after it counts as gone. */
const PATIENCE_SECONDS = 2;

/**
 * One server per data directory: takes the lock of a file, made when missing. The kernel lets go of it when this
 * process ends, however that happens.
 * @param options.taken  What to say when another process holds it. Default: that another magsd uses the directory.
 * @throws AppError `unavailable` when another process holds it, and goes on holding it for 2 s.
 */
export async function lockFile(path: string, options: { readonly taken?: string } = {}): Promise<AsyncDisposable> {
  const file = await open(path, "a", 0o600);
  try {
    // flock(2) belongs to the open file description, which stays with this process when the helper has ended.
    const helper = spawn("flock", ["--wait", String(PATIENCE_SECONDS), "--exclusive", "3"], {
      stdio: ["ignore", "ignore", "ignore", file.fd],
    });
    const [code] = await once(helper, "exit");
    if (code !== 0)
      throw new AppError(
        "unavailable",
        options.taken ??
          `another magsd is using ${dirname(path)}: stop it first, or give this one a data directory of its own`,
      );
  } catch (error) {
    await file.close();
    throw error;
  }
  return file;
}
