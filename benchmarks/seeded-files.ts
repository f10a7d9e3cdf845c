/** Trees of files that cannot be compressed: the same for all who are measured on them. */
import { randomFillSync } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";

const MIB = 1024 ** 2;

/** Files of these sizes below a folder; none of their bytes is like another's. */
export async function writeFiles(folder: string, files: ReadonlyMap<string, number>): Promise<void> {
  for (const [name, bytes] of files) {
    const path = join(folder, name);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, randomFillSync(Buffer.allocUnsafe(bytes)));
  }
}

/** As a project with its packages: many small files, some large. */
export function projectFiles(): ReadonlyMap<string, number> {
  const files = new Map<string, number>();
  for (let n = 0; n < 2_000; n++) files.set(`lib/${n % 50}/${n}`, 1_000 + ((n * 7_919) % 60_000));
  for (let n = 0; n < 28; n++) files.set(`data/${n}`, 5 * MIB);
  return files;
}

/** That many MiB in files of 1 MiB. */
export function changedFiles(mib: number): ReadonlyMap<string, number> {
  return new Map(Array.from({ length: mib }, (_, n) => [`changed/${n}`, MIB]));
}
