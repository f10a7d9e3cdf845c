/** The files of a version: the upper layer of an overlay, in the folder `up` of an ext4 file system. */
import { AppError } from "@mags/core";
import { type ByteSource, type Ext4, type Inode, openExt4, ROOT_INODE } from "@mags/ext4";

type Signal = { readonly signal: AbortSignal };

/** What is needed of a version, as the reader of the workspace store gives it. */
export interface VersionDisk {
  readonly name: { readonly seq: number };
  readonly manifest: { readonly diskBytes: number };
  readonly read: ByteSource["read"];
}

export interface UpperLayer {
  readonly disk: Ext4;
  /** The folder that stands for `/`. */
  readonly root: Inode;
}

export interface FoundFile {
  /** Without a slash at its beginning, one character a byte; empty: the root. */
  readonly path: string;
  readonly inode: Inode;
}

/** So many folders are kept in mind, to know one that contains itself. */
const MAX_FOLDERS = 8_000_000;

/** @throws AppError `validation_failed` and `not_supported` as of `openExt4`, `chunk_corrupt` of the store. */
export async function openUpperLayer(
  version: VersionDisk,
  { signal, ...options }: Signal & { readonly unitBytes?: number },
): Promise<UpperLayer> {
  const { manifest, read } = version;
  const disk = await openExt4({ sizeBytes: manifest.diskBytes, read }, { ...options, signal });
  for await (const { name, inode } of disk.entries(await disk.inode(ROOT_INODE, { signal }), { signal })) {
    if (name !== "up") continue;
    const root = await disk.inode(inode, { signal });
    if (root.type === "directory") return { disk, root };
  }
  throw new AppError("validation_failed", `version ${version.name.seq} is no disk of a workspace: it has no folder up`);
}

export function isWhiteout({ type, device }: Inode): boolean {
  return type === "character" && device.major === 0 && device.minor === 0;
}

/**
 * Everything below the root and the root itself, folders before what is in them, else in the order of the disk.
 * @param enter  Whether what is in a folder is wanted.
 */
export async function* walkUpperLayer(
  { disk, root }: UpperLayer,
  { signal, enter }: Signal & { readonly enter: (folder: FoundFile) => boolean },
): AsyncGenerator<FoundFile, void, void> {
  const guard = createWalkGuard(disk);
  const start = { path: "", inode: root };
  guard.folder(root);
  yield start;
  const open = [{ prefix: "", entries: disk.entries(root, { signal }) }];
  for (let folder = open.at(-1); folder; folder = open.at(-1)) {
    const { value, done } = await folder.entries.next();
    if (done) {
      open.pop();
      continue;
    }
    signal.throwIfAborted();
    const found = { path: folder.prefix + value.name, inode: await disk.inode(value.inode, { signal }) };
    if (found.inode.type === "directory") guard.folder(found.inode);
    yield found;
    if (found.inode.type === "directory" && enter(found))
      open.push({ prefix: `${found.path}/`, entries: disk.entries(found.inode, { signal }) });
  }
}

/**
 * Ends what leads in circles, and files that share their blocks: together they would be larger than the disk.
 * @throws AppError `validation_failed`; `not_supported` when it has more folders than are kept in mind.
 */
export function createWalkGuard(disk: Ext4, { maxFolders = MAX_FOLDERS } = {}) {
  const folders = new Set<number>();
  let left = disk.sizeBytes;
  const bad = (what: string) => new AppError("validation_failed", `the file system is damaged: ${what}`);
  const take = (bytes: number) => {
    left -= bytes;
    if (left < 0) throw bad("its files together are larger than the disk");
  };
  return {
    take,
    folder({ number, sizeBytes }: Inode): void {
      if (folders.has(number)) throw bad(`folder ${number} is in two places`);
      if (folders.size >= maxFolders)
        throw new AppError("not_supported", `the file system has more than ${maxFolders} folders, which are too many`);
      folders.add(number);
      take(sizeBytes);
    },
  };
}
