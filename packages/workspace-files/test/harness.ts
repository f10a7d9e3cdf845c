import { readFile, writeFile } from "node:fs/promises";
import { debugfs, makeExt4Image } from "@mags/test-kit";
import { openUpperLayer } from "../src/index.ts";

export const signal = new AbortController().signal;

/** A workspace's disk, made by commands of debugfs that begin in its folder `up`. */
export async function makeDisk(image: string, ...commands: string[]): Promise<void> {
  await makeExt4Image(image, { sizeMiB: 32 });
  await debugfs(image, "mkdir up", "mkdir work", "cd up", ...commands);
}

export async function openDisk(image: string) {
  const bytes = await readFile(image);
  const read = async (offset: number, length: number) => bytes.subarray(offset, offset + length);
  return openUpperLayer({ name: { seq: 1 }, manifest: { diskBytes: bytes.length }, read }, { signal });
}

/** A file of the host with that content, for `write` and `ea_set -f`. */
export async function hostFile(path: string, content: string | Buffer): Promise<string> {
  await writeFile(path, content);
  return path;
}
