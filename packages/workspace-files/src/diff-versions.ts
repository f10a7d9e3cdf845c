/**
 * Which files changed between two versions of a workspace. Both trees are walked together, in the order of their names'
 * bytes: what is read of the disks are folders and inodes, which two versions mostly share, and of contents only what
 * differs in its chunks.
 */
import { AppError, createTurns } from "@mags/core";
import type { Inode } from "@mags/ext4";
import { CHUNK_BYTES } from "@mags/workspace-store";
import type { ComparedFile, SameOnDisk } from "./content-differs.ts";
import { type Comparison, changeOf, type FileChange, haveImageBelow } from "./file-change.ts";
import { createWalkGuard, openUpperLayer, type UpperLayer, type VersionDisk } from "./upper-layer.ts";

type Signal = { readonly signal: AbortSignal };

/** What is needed of a version, as the reader of the workspace store gives it. */
export interface ComparedVersion extends VersionDisk {
  readonly name: { readonly seq: number; readonly sha256: string };
  chunk(index: number, options: Signal): Promise<{ readonly sha256: string } | undefined>;
}

export interface DiffOptions extends Signal {
  /** Most changes that are given; fewer are when their paths are long. */
  readonly limit: number;
  /** Begin behind this path, as a change before had it. */
  readonly after?: string;
}

export interface VersionDiff {
  readonly changes: readonly FileChange[];
  /** There are more: go on after the path of the last one. */
  readonly more: boolean;
}

/** Of a folder. Sorting more would hold up the rest of the process. */
const MAX_NAMES = 200_000;
/** Of a folder and those that it lies in, in both versions: each costs some 400 bytes, with the longest names. */
const MAX_HELD_NAMES = 400_000;
/** In each version: one whose folders are empty may have as many as it has inodes. */
const MAX_FOLDERS = 1_000_000;
const MAX_PATH_BYTES = 4095;
/** Of all changes that are given together. Each may take six in the reply, as control characters do. */
const MAX_PAGE_BYTES = 4 << 20;
/** Folders lie scattered between contents, which are not wanted. */
const UNIT_BYTES = 256 << 10;

/** May run concurrently. @throws AppError as `openUpperLayer` does. */
export async function diffVersions(
  before: ComparedVersion,
  after: ComparedVersion,
  options: DiffOptions,
): Promise<VersionDiff> {
  const { limit, signal } = options;
  if (before.name.sha256 === after.name.sha256) return { changes: [], more: false };
  const open = (version: ComparedVersion) => openUpperLayer(version, { unitBytes: UNIT_BYTES, signal });
  const [old, now] = [await open(before), await open(after)];
  const changes: FileChange[] = [];
  const turns = createTurns();
  const turn = () => turns({ signal });
  let pageBytes = 0;
  const comparison = { signal, turn, sameOnDisk: sameOnDisk(before, after, old.disk.asStored && now.disk.asStored) };
  for await (const change of changesBetween(old, now, { ...comparison, after: options.after?.split("/") ?? [] })) {
    pageBytes += change.path.length;
    if (changes.length === limit || pageBytes > MAX_PAGE_BYTES) return { changes, more: true };
    changes.push(change);
  }
  return { changes, more: false };
}

/** Chunks of one digest have the same bytes. Where a journal is read over the disk, they say nothing. */
function sameOnDisk(before: ComparedVersion, after: ComparedVersion, asStored: boolean): SameOnDisk {
  return async (at, length, options) => {
    if (!asStored) return false;
    for (let index = Math.floor(at / CHUNK_BYTES); index * CHUNK_BYTES < at + length; index++) {
      const [old, now] = [await before.chunk(index, options), await after.chunk(index, options)];
      if (old?.sha256 !== now?.sha256) return false;
    }
    return true;
  };
}

type Side = UpperLayer & { readonly guard: ReturnType<typeof createWalkGuard> };

async function* changesBetween(
  before: UpperLayer,
  after: UpperLayer,
  options: Comparison & { readonly after: readonly string[] },
): AsyncGenerator<FileChange, void, void> {
  const { signal, turn } = options;
  const old: Side = { ...before, guard: createWalkGuard(before.disk, { maxFolders: MAX_FOLDERS }) };
  const now: Side = { ...after, guard: createWalkGuard(after.disk, { maxFolders: MAX_FOLDERS }) };
  let heldNames = 0;
  const hold = (names: number) => {
    heldNames += names;
    if (heldNames > MAX_HELD_NAMES)
      throw new AppError(
        "not_supported",
        `folders that lie in each other have more than ${MAX_HELD_NAMES} files together, which cannot be compared`,
      );
  };

  async function* folder(
    prefix: string,
    inodes: { readonly old: Inode | undefined; readonly now: Inode | undefined; readonly imageBelow: boolean },
    skip: readonly string[],
  ): AsyncGenerator<FileChange, void, void> {
    const [oldNames, nowNames] = [await namesIn(old, inodes.old, options), await namesIn(now, inodes.now, options)];
    const { imageBelow } = inodes;
    const held = oldNames.size + nowNames.size;
    hold(held);
    const names = [...new Set([...oldNames.keys(), ...nowNames.keys()])].toSorted((a, b) => (a < b ? -1 : 1));
    const [first] = skip;
    for (const name of names) {
      if (first !== undefined && name < first) continue;
      await turn();
      const path = prefix + name;
      if (path.length > MAX_PATH_BYTES)
        throw new AppError("not_supported", `a path has more than ${MAX_PATH_BYTES} bytes, which cannot be compared`);
      const oldFile = await fileIn(old, oldNames.get(name), { signal });
      const nowFile = await fileIn(now, nowNames.get(name), { signal });
      const within = name === first ? skip.slice(1) : [];
      if (name !== first) {
        const change = await changeOf(path, oldFile, nowFile, { ...options, imageBelow });
        if (change) yield change;
      }
      const folders = { old: folderOf(oldFile), now: folderOf(nowFile) };
      if (!folders.old && !folders.now) continue;
      const below = imageBelow && (await haveImageBelow(oldFile, nowFile, { signal }));
      yield* folder(`${path}/`, { ...folders, imageBelow: below }, within);
    }
    heldNames -= held;
  }

  yield* folder("", { old: old.root, now: now.root, imageBelow: true }, options.after);
}

const folderOf = (file: ComparedFile | undefined) => (file?.inode.type === "directory" ? file.inode : undefined);

async function fileIn(side: Side, number: number | undefined, options: Signal): Promise<ComparedFile | undefined> {
  return number === undefined ? undefined : { disk: side.disk, inode: await side.disk.inode(number, options) };
}

async function namesIn(
  side: Side,
  folder: Inode | undefined,
  options: Comparison,
): Promise<ReadonlyMap<string, number>> {
  const names = new Map<string, number>();
  if (!folder) return names;
  side.guard.folder(folder);
  let entries = 0;
  for await (const { name, inode } of side.disk.entries(folder, options)) {
    await options.turn();
    names.set(name, inode);
    // Blocks that repeat give the same names again.
    if (++entries > MAX_NAMES)
      throw new AppError("not_supported", `a folder has more than ${MAX_NAMES} files, which cannot be compared`);
  }
  return names;
}
