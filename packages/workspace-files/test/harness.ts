import { createHash } from "node:crypto";
import { copyFile, readFile, writeFile } from "node:fs/promises";
import type { DirEntry } from "@mags/ext4";
import { debugfs, makeExt4Image } from "@mags/test-kit";
import { CHUNK_BYTES } from "@mags/workspace-store";
import { openUpperLayer } from "../src/index.ts";

/** Of the file systems that are made here. */
const BLOCK_BYTES = 4096;
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

/** Entries of a folder that all are the inode of one file, in the folder `up` of an image. */
export async function entriesLike(image: string, name: string, names: readonly string[]): Promise<DirEntry[]> {
  const { disk, root } = await openDisk(image);
  for await (const entry of disk.entries(root, { signal }))
    if (entry.name === name) return names.map((one) => ({ name: one, inode: entry.inode }));
  throw new Error(`there is no ${name}`);
}

/** Writes a folder with those entries as no tool would, in no time, into `up` of a copy of the image. */
export async function addFolder(
  image: string,
  { to, name, entries }: { readonly to: string; readonly name: string; readonly entries: readonly DirEntry[] },
): Promise<void> {
  if (to !== image) await copyFile(image, to);
  const blocks: Buffer[] = [];
  let at = BLOCK_BYTES;
  let last = 0;
  for (const entry of entries) {
    const length = 8 + Math.ceil(entry.name.length / 4) * 4;
    if (at + length > BLOCK_BYTES) {
      fillUp(blocks.at(-1), last);
      blocks.push(Buffer.alloc(BLOCK_BYTES));
      at = 0;
    }
    const bytes = blocks.at(-1)?.subarray(at);
    bytes?.writeUInt32LE(entry.inode, 0);
    bytes?.writeUInt16LE(length, 4);
    bytes?.writeUInt8(entry.name.length, 6);
    bytes?.write(entry.name, 8, "latin1");
    last = at;
    at += length;
  }
  fillUp(blocks.at(-1), last);
  const content = await hostFile(`${to}.folder`, Buffer.concat(blocks));
  await debugfs(to, "cd up", `write ${content} ${name}`, `sif ${name} mode 040755`);
}

/** The last entry of a block takes what is left of it. */
function fillUp(block: Buffer | undefined, last: number): void {
  block?.writeUInt16LE(BLOCK_BYTES - last, last + 4);
}

/** A file of the host with that content, for `write` and `ea_set -f`. */
export async function hostFile(path: string, content: string | Buffer): Promise<string> {
  await writeFile(path, content);
  return path;
}
