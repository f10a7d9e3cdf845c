/**
 * Lays the files of one archive over those of earlier ones, as a container's layers are merged: what comes later wins,
 * and `.wh.` entries take away what earlier layers brought.
 */
import { badArchive, shown } from "@mags/tar";
import type { TarEntry, TarLimits } from "../tar/reader.ts";
import { type Directory, ensureDirectory, findDirectory, type Leaf, pathNames } from "./tree.ts";

const WHITEOUT = ".wh.";
/** Hides everything that earlier layers have in the folder it stands in. */
const OPAQUE = ".wh..wh..opq";

export interface LayerResult {
  /** Device nodes: a guest has its own /dev. */
  readonly devicesLeftOut: number;
}

/**
 * @param options.layer  Number under which the contents are found again.
 * @param options.limits  Counts the folders that entries only imply; the entries themselves their reader has counted.
 * @param options.whiteouts  False for an archive that is no layer: a file's name may begin with `.wh.` there.
 * @throws AppError `validation_failed` for an entry that cannot be placed in the image.
 */
export function applyLayer(
  root: Directory,
  entries: readonly TarEntry[],
  options: { readonly layer: number; readonly limits: TarLimits; readonly whiteouts: boolean },
): LayerResult {
  const rest = options.whiteouts ? applyWhiteouts(root, entries) : entries;
  let devicesLeftOut = 0;
  for (const entry of rest) {
    if (entry.type === "device") devicesLeftOut++;
    else place(root, entry, options);
  }
  return { devicesLeftOut };
}

/** They mean earlier layers only, wherever they stand in theirs. @returns the entries that are none. */
function applyWhiteouts(root: Directory, entries: readonly TarEntry[]): TarEntry[] {
  const rest: TarEntry[] = [];
  for (const entry of entries) {
    const names = pathNames(entry.path);
    const name = names.at(-1) ?? "";
    if (!name.startsWith(WHITEOUT)) {
      rest.push(entry);
      continue;
    }
    const parent = findDirectory(root, names.slice(0, -1));
    if (name === OPAQUE) parent?.children.clear();
    else if (name.startsWith(WHITEOUT + WHITEOUT))
      continue; // aufs keeps its books under such names
    else {
      const hidden = name.slice(WHITEOUT.length);
      if (["", ".", ".."].includes(hidden)) throw badArchive(`${shown(entry.path)} takes away nothing that can be`);
      parent?.children.delete(hidden);
    }
  }
  return rest;
}

function place(
  root: Directory,
  entry: TarEntry,
  { layer, limits }: { readonly layer: number; readonly limits: TarLimits },
): void {
  const names = pathNames(entry.path);
  const { mode, uid, gid, mtime, xattrs } = entry;
  const attributes = { mode, uid, gid, mtime, xattrs };
  const name = names.at(-1);
  if (name === undefined) {
    if (entry.type !== "directory") throw badArchive(`${shown(entry.path)} would replace the top of the image`);
    root.attributes = attributes;
    return;
  }
  const { children } = ensureDirectory(root, names.slice(0, -1), limits);
  if (entry.type === "directory") {
    const known = children.get(name);
    if (known?.kind === "directory") known.attributes = attributes;
    else children.set(name, { kind: "directory", attributes, children: new Map() });
    return;
  }
  children.set(name, leafOf(root, entry, { attributes, layer }));
}

function leafOf(
  root: Directory,
  entry: TarEntry,
  { attributes, layer }: { readonly attributes: Leaf["attributes"]; readonly layer: number },
): Leaf {
  switch (entry.type) {
    case "file":
      return { kind: "file", attributes, content: { layer, offset: entry.offset, size: entry.size } };
    case "symlink":
      if (entry.linkPath === "") throw badArchive(`${shown(entry.path)} is a symlink to nothing`);
      return { kind: "symlink", attributes, target: entry.linkPath };
    case "fifo":
      return { kind: "fifo", attributes };
    case "link": {
      const names = pathNames(entry.linkPath);
      const target = findDirectory(root, names.slice(0, -1))?.children.get(names.at(-1) ?? "");
      if (!target || target.kind === "directory")
        throw badArchive(`${shown(entry.path)} is a link to ${shown(entry.linkPath)}, which is no file before it`);
      return target;
    }
    default:
      throw badArchive(`${shown(entry.path)} cannot be placed`);
  }
}
