import { createHash } from "node:crypto";
import type { FileHandle } from "node:fs/promises";
import { readFile } from "node:fs/promises";
import { type ByteSource, type Ext4, type Inode, openExt4, ROOT_INODE } from "../src/index.ts";

export const signal = new AbortController().signal;

export async function sourceOf(file: FileHandle): Promise<ByteSource> {
  return {
    sizeBytes: (await file.stat()).size,
    async read(offset, length) {
      const bytes = Buffer.alloc(length);
      await file.read(bytes, 0, length, offset);
      return bytes;
    },
  };
}

export const memorySource = (bytes: Buffer): ByteSource => ({
  sizeBytes: bytes.length,
  read: async (offset, length) => bytes.subarray(offset, offset + length),
});

export const openImage = async (path: string): Promise<Ext4> =>
  openExt4(memorySource(await readFile(path)), { signal });

export async function contentOf(disk: Ext4, file: Inode): Promise<Buffer> {
  const content = Buffer.alloc(file.sizeBytes);
  for await (const { offset, length, at } of disk.regions(file, { signal }))
    (await disk.read(at, length, { signal })).copy(content, offset);
  return content;
}

export const digestOf = (bytes: Buffer) => createHash("sha256").update(bytes).digest("hex");

/** All inodes by their paths. */
export async function treeOf(disk: Ext4): Promise<Map<string, Inode>> {
  const found = new Map<string, Inode>();
  const folder = async (path: string, inode: Inode): Promise<void> => {
    for await (const entry of disk.entries(inode, { signal })) {
      const child = await disk.inode(entry.inode, { signal });
      found.set(path + entry.name, child);
      if (child.type === "directory") await folder(`${path}${entry.name}/`, child);
    }
  };
  await folder("", await disk.inode(ROOT_INODE, { signal }));
  return found;
}

/** The inode of a path that there must be. */
export async function inodeAt(disk: Ext4, path: string): Promise<Inode> {
  const found = (await treeOf(disk)).get(path);
  if (!found) throw new Error(`there is no ${path}`);
  return found;
}
