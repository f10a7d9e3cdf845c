/** Writes a tree as one clean archive: each folder before what is in it, names in the order of their bytes, every file once. */

import { END_OF_ARCHIVE, headerBytes, padding, type WrittenEntry } from "@mags/tar";
import { type ByteSource, bytesOf, partOf } from "../tar/byte-source.ts";
import type { Directory, Leaf, TreeNode } from "./tree.ts";

/** Small pieces are gathered: a pipe takes few large ones much faster. */
const GATHER_BYTES = 256 * 1024;

export async function* archiveOf(root: Directory, layers: readonly ByteSource[]): AsyncGenerator<Buffer> {
  let waiting: Buffer[] = [];
  let bytes = 0;
  for await (const piece of pieces(root, layers)) {
    waiting.push(piece);
    bytes += piece.length;
    if (bytes < GATHER_BYTES) continue;
    yield Buffer.concat(waiting);
    waiting = [];
    bytes = 0;
  }
  yield Buffer.concat([...waiting, END_OF_ARCHIVE]);
}

async function* pieces(root: Directory, layers: readonly ByteSource[]): AsyncGenerator<Buffer> {
  const written = new Map<Leaf, string>();
  for (const { node, path } of inOrder(root)) {
    if (node.kind === "directory") {
      yield headerBytes(entryOf(node, { path: `${path}/`, linkPath: "", size: 0 }));
      continue;
    }
    const first = written.get(node);
    if (first !== undefined) {
      yield headerBytes({ ...entryOf(node, { path, linkPath: first, size: 0 }), type: "link", xattrs: new Map() });
      continue;
    }
    written.set(node, path);
    const size = node.kind === "file" ? node.content.size : 0;
    yield headerBytes(entryOf(node, { path, linkPath: node.kind === "symlink" ? node.target : "", size }));
    if (node.kind !== "file" || size === 0) continue;
    const layer = layers[node.content.layer];
    if (!layer) throw new Error(`there is no layer ${node.content.layer}`);
    for await (const piece of bytesOf(partOf(layer, { offset: node.content.offset, length: size }))) yield piece;
    yield padding(size);
  }
}

function entryOf(
  node: TreeNode,
  { path, linkPath, size }: { readonly path: string; readonly linkPath: string; readonly size: number },
): WrittenEntry {
  return { ...node.attributes, type: node.kind, path, linkPath, size };
}

/** Without recursion: an archive may be as deep as a path is long. */
function* inOrder(root: Directory): Generator<{ readonly node: TreeNode; readonly path: string }> {
  const todo: { readonly node: TreeNode; readonly path: string }[] = [{ node: root, path: "." }];
  for (let next = todo.pop(); next; next = todo.pop()) {
    yield next;
    if (next.node.kind !== "directory") continue;
    const { path } = next;
    const names = [...next.node.children].sort(([a], [b]) => (a < b ? 1 : -1));
    for (const [name, node] of names) todo.push({ node, path: path === "." ? name : `${path}/${name}` });
  }
}
