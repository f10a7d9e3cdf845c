import { createHash } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { debugfs, makeExt4Image } from "@mags/test-kit";
import { CHUNK_BYTES } from "@mags/workspace-store";
import { openUpperLayer } from "../src/index.ts";

export const signal = new AbortController().signal;

/** A workspace's disk, made by commands of debugfs that begin in its folder `up`. */
export async function makeDisk(image: string, ...commands: string[]): Promise<void> {
  await makeExt4Image(image, { sizeMiB: 32 });
  await debugfs(image, "mkdir up", "mkdir work", "cd up", ...commands);
}

/** The image as a version of the store shows it, and how many bytes were read of it. */
export async function versionOf(image: string) {
  const bytes = await readFile(image);
  const digest = (of: Buffer) => createHash("sha256").update(of).digest("hex");
  const version = {
    readBytes: 0,
    name: { seq: 1, sha256: digest(bytes) },
    manifest: { diskBytes: bytes.length },
    async read(offset: number, length: number) {
      version.readBytes += length;
      return bytes.subarray(offset, offset + length);
    },
    chunk: async (index: number) => ({
      sha256: digest(bytes.subarray(index * CHUNK_BYTES, (index + 1) * CHUNK_BYTES)),
    }),
  };
  return version;
}

export const openDisk = async (image: string) => openUpperLayer(await versionOf(image), { signal });

/** A file of the host with that content, for `write` and `ea_set -f`. */
export async function hostFile(path: string, content: string | Buffer): Promise<string> {
  await writeFile(path, content);
  return path;
}
