import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Failure } from "./failure.ts";

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: "there is no such folder",
  ENOTDIR: "that is no folder",
  EACCES: "you may not write there",
  EROFS: "nobody may write there",
  ENOSPC: "there is no room left",
};

/**
 * Makes a folder that only this user may enter.
 * @param places  In the first of these that takes it. Default: the folder for temporary files.
 * @throws Failure that names the last of them and says what is wrong with it.
 */
export function makeTemporaryFolder(prefix: string, places: readonly string[] = [tmpdir()]): string {
  const [place = tmpdir(), ...others] = places;
  try {
    return mkdtempSync(join(place, prefix));
  } catch (error) {
    if (others.length > 0) return makeTemporaryFolder(prefix, others);
    const { code = "", message } = error as NodeJS.ErrnoException;
    throw new Failure(
      `cannot make a temporary folder in ${place}: ${REASONS[code] ?? message}`,
      "The environment variable TMPDIR names the folder for temporary files (default: /tmp).",
    );
  }
}
