/**
 * What `magsd doctor` makes to try the host carries the pid of its process in its name, so that the next one can remove
 * what one that was killed has left.
 */
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

const NAME = /^mags-check-(\d+)-\w+$/;

export function newCheckName(): string {
  return `mags-check-${process.pid}-${randomBytes(3).toString("hex")}`;
}

export async function makeCheckDirectory(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp(join(tmpdir(), `mags-check-${process.pid}-`));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

/** Names in a directory of what checks made whose process does not run any more. A directory that is not there has none. */
export async function abandonedChecks(directory: string): Promise<string[]> {
  const names = await readdir(directory).catch(() => []);
  return names.filter((name) => {
    const pid = NAME.exec(name)?.[1];
    return pid !== undefined && !existsSync(`/proc/${pid}`);
  });
}
