import { join } from "node:path";
import { isAppError, lockFile } from "@mags/core";

/** Held by who changes an installation, as `tools/lib/install.sh` does. */
const LOCK = ".lock";

/**
 * Does `work` when nobody changes the installation, and keeps everybody from it meanwhile: what is being installed is not
 * named by a release yet. @returns undefined, with nothing done, while somebody does change it.
 */
export async function whileUnchanged<T>(program: string, work: () => Promise<T>): Promise<T | undefined> {
  const lock = await lockFile(join(program, LOCK)).catch((error: unknown) => {
    if (isAppError(error, "unavailable")) return undefined;
    throw error;
  });
  if (!lock) return undefined;
  try {
    return await work();
  } finally {
    await lock[Symbol.asyncDispose]();
  }
}
