/** The files of the repository, as git knows them: committed ones and new ones that are not ignored. */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";

export const ROOT = resolve(import.meta.dirname, "..");

/** Paths from the root, with forward slashes. */
export function listSourceFiles(): readonly string[] {
  const list = execFileSync("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"], {
    cwd: ROOT,
    encoding: "utf8",
    maxBuffer: 64 * 1024 * 1024,
  });
  return list.split("\0").filter((path) => path !== "" && existsSync(resolve(ROOT, path)));
}

export function readSource(path: string): string {
  return readFileSync(resolve(ROOT, path), "utf8");
}
