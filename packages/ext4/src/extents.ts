/**
 * The extent tree of an inode: which blocks of the disk hold which blocks of the file. It is read in order, one node a
 * level in memory; a node that does not ascend within what its parent says of it is damage, so a tree that leads in a
 * circle ends.
 */
import { damaged, unreadable } from "./damaged.ts";
import { BLOCK_FIELD, BLOCK_FIELD_BYTES, type Inode } from "./inode.ts";

export interface Extent {
  /** Blocks of the file. */
  readonly logical: number;
  readonly count: number;
  /** Block of the disk where it begins. */
  readonly physical: number;
}

const EXTENTS_FLAG = 0x80000;
const MAGIC = 0xf30a;
const HEADER_BYTES = 12;
const ENTRY_BYTES = 12;
/** As deep as a tree can be that has 2^32 blocks. */
const MAX_DEPTH = 5;
/** Longer ones are allocated and not written yet: they read as zeros. */
const MAX_WRITTEN = 32768;

type ReadBlock = (block: number) => Promise<Buffer>;
interface Bounds {
  readonly from: number;
  readonly to: number;
}

/** Those that were written, ascending. @throws AppError `validation_failed`, `not_supported`. */
export async function* extentsOf(inode: Inode, readBlock: ReadBlock): AsyncGenerator<Extent, void, void> {
  if (!(inode.flags & EXTENTS_FLAG)) {
    if (inode.sizeBytes === 0) return;
    throw unreadable(`has a block map instead of extents in inode ${inode.number}`);
  }
  const root = inode.raw.subarray(BLOCK_FIELD, BLOCK_FIELD + BLOCK_FIELD_BYTES);
  const depth = root.readUInt16LE(6);
  if (depth > MAX_DEPTH) throw damaged(`the extents of inode ${inode.number} are a tree of ${depth} levels`);
  yield* node(root, { depth, inode, readBlock, bounds: { from: 0, to: 2 ** 32 } });
}

async function* node(
  bytes: Buffer,
  what: { readonly depth: number; readonly inode: Inode; readonly readBlock: ReadBlock; readonly bounds: Bounds },
): AsyncGenerator<Extent, void, void> {
  const { depth, inode, readBlock, bounds } = what;
  const bad = (why: string) => damaged(`the extents of inode ${inode.number} ${why}`);
  const entries = bytes.readUInt16LE(2);
  if (
    bytes.readUInt16LE(0) !== MAGIC ||
    bytes.readUInt16LE(6) !== depth ||
    HEADER_BYTES + entries * ENTRY_BYTES > bytes.length
  )
    throw bad("are no tree");
  const at = (i: number) => HEADER_BYTES + i * ENTRY_BYTES;
  let free = bounds.from;
  for (let i = 0; i < entries; i++) {
    const logical = bytes.readUInt32LE(at(i));
    if (logical < free || logical >= bounds.to) throw bad("do not ascend");
    if (depth === 0) {
      const stated = bytes.readUInt16LE(at(i) + 4);
      const written = stated <= MAX_WRITTEN;
      const count = written ? stated : stated - MAX_WRITTEN;
      free = logical + count;
      if (count === 0 || free > bounds.to) throw bad("have no length that there is");
      const physical = bytes.readUInt32LE(at(i) + 8) + bytes.readUInt16LE(at(i) + 6) * 2 ** 32;
      if (written) yield { logical, count, physical };
    } else {
      const block = bytes.readUInt32LE(at(i) + 4) + bytes.readUInt16LE(at(i) + 8) * 2 ** 32;
      const to = i + 1 < entries ? bytes.readUInt32LE(at(i + 1)) : bounds.to;
      free = logical + 1;
      yield* node(await readBlock(block), { ...what, depth: depth - 1, bounds: { from: logical, to } });
    }
  }
}
