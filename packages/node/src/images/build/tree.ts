/**
 * The files of an image before it is written, in memory and without their contents. Paths are looked up as a guest
 * would, that is with `/` as the top whatever a symlink says, so nothing in it can lead outside.
 */
import { badArchive, shown } from "@mags/tar";
import type { TarLimits } from "../tar/reader.ts";

export interface Attributes {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtime: number;
  readonly xattrs: ReadonlyMap<string, Buffer>;
}

/** A file's content: where it lies in the layer it came with. */
export interface Content {
  readonly layer: number;
  readonly offset: number;
  readonly size: number;
}

export type Leaf =
  | { readonly kind: "file"; readonly attributes: Attributes; readonly content: Content }
  | { readonly kind: "symlink"; readonly attributes: Attributes; readonly target: string }
  | { readonly kind: "fifo"; readonly attributes: Attributes };

export interface Directory {
  readonly kind: "directory";
  attributes: Attributes;
  /** A leaf that stands here twice, or in two directories, is one file with two names. */
  readonly children: Map<string, Directory | Leaf>;
}

export type TreeNode = Directory | Leaf;

const NO_XATTRS: ReadonlyMap<string, Buffer> = new Map();
/** As many as Linux follows. */
const MAX_SYMLINKS = 40;

export function createDirectory(mode = 0o755): Directory {
  return { kind: "directory", attributes: { mode, uid: 0, gid: 0, mtime: 0, xattrs: NO_XATTRS }, children: new Map() };
}

/**
 * The names on the way to a file; none for the top itself. A leading `/` means the same as none.
 * @throws AppError `validation_failed` for a name with `..`: whoever wrote that meant another place.
 */
export function pathNames(path: string): string[] {
  const names = path.split("/").filter((name) => name !== "" && name !== ".");
  if (names.includes("..")) throw badArchive(`${shown(path)} leads out of the image by ".."`);
  return names;
}

/** The directory at that place. @returns undefined when there is none. */
export function findDirectory(root: Directory, names: readonly string[]): Directory | undefined {
  return walk(root, names, {});
}

/**
 * As `findDirectory`, but makes what is missing; a file in the way gives way. Few entries can imply very many folders,
 * so each that is made counts as one.
 */
export function ensureDirectory(root: Directory, names: readonly string[], limits: TarLimits): Directory {
  const directory = walk(root, names, { limits });
  if (!directory) throw badArchive(`${shown(names.join("/"))} cannot be made: its symlinks lead in a circle`);
  return directory;
}

/** What stands at a path when all symlinks are followed, with the place where it really is. */
export function findNode(
  root: Directory,
  path: string,
): { readonly node: TreeNode; readonly path: string } | undefined {
  let names = path.split("/");
  for (let followed = 0; followed <= MAX_SYMLINKS; followed++) {
    const real: string[] = [];
    const parent = walk(root, names.slice(0, -1), { real });
    const name = names.at(-1) ?? "";
    const node = name === "" || name === "." ? parent : parent?.children.get(name);
    if (!parent || !node) return undefined;
    if (node.kind !== "symlink") return { node, path: `/${[...real, ...(node === parent ? [] : [name])].join("/")}` };
    names = [...(node.target.startsWith("/") ? [] : real), ...node.target.split("/")];
  }
  return undefined;
}

function walk(
  root: Directory,
  names: readonly string[],
  options: {
    /** Makes what is missing, and counts it. Default: makes nothing. */
    readonly limits?: TarLimits;
    /** Takes the names on the way to the place where it really is. */
    readonly real?: string[];
  },
): Directory | undefined {
  const trail = [root];
  const real = options.real ?? [];
  const todo = names.toReversed();
  for (let followed = 0; todo.length > 0; ) {
    const name = todo.pop() ?? "";
    const here = trail.at(-1) ?? root;
    if (name === "" || name === ".") continue;
    if (name === "..") {
      if (trail.length > 1) {
        trail.pop();
        real.pop();
      }
      continue;
    }
    let next = here.children.get(name);
    if (next?.kind === "symlink") {
      if (++followed > MAX_SYMLINKS) return undefined;
      if (next.target.startsWith("/")) {
        trail.length = 1;
        real.length = 0;
      }
      todo.push(...next.target.split("/").toReversed());
      continue;
    }
    if (next?.kind !== "directory") {
      if (!options.limits) return undefined;
      options.limits.count(name.length);
      next = createDirectory();
      here.children.set(name, next);
    }
    trail.push(next);
    real.push(name);
  }
  return trail.at(-1);
}
