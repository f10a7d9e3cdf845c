/** A file system that is little more than a journal: thousands of pieces, all of them the same few blocks of a disk. */
import type { ByteSource } from "../src/index.ts";

const BLOCK_BYTES = 1024;
const PER_NODE = 84;
const INODE_TABLE = 5;
const JOURNAL_INODE = 8;
const JOURNAL_SUPERBLOCK = 10;
const DESCRIPTORS = 20;
const DESCRIPTOR_COUNT = 30;
const LEAVES = 100;
const MAX_LEAVES = 200;
/** In the first MiB lies all there is. */
const REAL_BLOCKS = 1024;

/** @param pieces  Of 30 blocks each, at most 16 800. Each second block of the log describes the one after it. */
export function longJournal(pieces: number): ByteSource {
  const real = Buffer.alloc(REAL_BLOCKS * BLOCK_BYTES);
  const block = (number: number) => real.subarray(number * BLOCK_BYTES, (number + 1) * BLOCK_BYTES);
  const logBlocks = 1 + pieces * DESCRIPTOR_COUNT;
  const blockCount = logBlocks + REAL_BLOCKS;
  writeSuperblock(block(1), blockCount);
  block(2).writeUInt32LE(INODE_TABLE, 8);

  const inode = block(INODE_TABLE).subarray((JOURNAL_INODE - 1) * 128);
  inode.writeUInt16LE(0x8180, 0);
  inode.writeUInt32LE(logBlocks * BLOCK_BYTES, 4);
  inode.writeUInt16LE(1, 0x1a);
  inode.writeUInt32LE(0x80000, 0x20);

  const extents = [{ logical: 0, count: 1, at: JOURNAL_SUPERBLOCK }];
  for (let piece = 0; piece < pieces; piece++)
    extents.push({ logical: 1 + piece * DESCRIPTOR_COUNT, count: DESCRIPTOR_COUNT, at: DESCRIPTORS });
  const leaves = inGroups(extents).map((group, n) => {
    writeNode(block(LEAVES + n), 0, group);
    return { logical: group[0]?.logical ?? 0, at: LEAVES + n };
  });
  if (leaves.length > MAX_LEAVES) throw new RangeError(`${pieces} pieces are too many`);
  const indexes = inGroups(leaves).map((group, n) => {
    writeNode(block(LEAVES + MAX_LEAVES + n), 1, group);
    return { logical: group[0]?.logical ?? 0, at: LEAVES + MAX_LEAVES + n };
  });
  writeNode(inode.subarray(0x28, 0x28 + 60), 2, indexes);

  for (const [at, value] of [
    [0, 0xc03b3998],
    [4, 4],
    [0xc, BLOCK_BYTES],
    [0x10, logBlocks],
    [0x14, 1],
    [0x18, 1],
    [0x1c, 1],
  ] as const)
    block(JOURNAL_SUPERBLOCK).writeUInt32BE(value, at);
  for (let n = 0; n < DESCRIPTOR_COUNT; n++) {
    const descriptor = block(DESCRIPTORS + n);
    for (const [i, value] of [0xc03b3998, 1, 1, 900].entries()) descriptor.writeUInt32BE(value, i * 4);
    descriptor.writeUInt16BE(0x8 | 0x2, 18); // one tag, the last one
  }
  return {
    sizeBytes: blockCount * BLOCK_BYTES,
    read: async (offset, length) =>
      Buffer.concat([real.subarray(offset, offset + length), Buffer.alloc(Math.max(0, offset + length - real.length))]),
  };
}

function writeSuperblock(bytes: Buffer, blockCount: number): void {
  const groups = Math.ceil((blockCount - 1) / 8192);
  for (const [at, value] of [
    [0x0, groups * 16],
    [0x4, blockCount],
    [0x14, 1],
    [0x20, 8192],
    [0x28, 16],
    [0x60, 0x46], // types in folders, recovery, extents
    [0xe0, JOURNAL_INODE],
  ] as const)
    bytes.writeUInt32LE(value, at);
  bytes.writeUInt16LE(0xef53, 0x38);
  bytes.writeUInt16LE(128, 0x58);
}

function inGroups<T>(all: readonly T[]): T[][] {
  return Array.from({ length: Math.ceil(all.length / PER_NODE) }, (_, n) =>
    all.slice(n * PER_NODE, (n + 1) * PER_NODE),
  );
}

interface Entry {
  readonly logical: number;
  readonly at: number;
  readonly count?: number;
}

function writeNode(bytes: Buffer, depth: number, entries: readonly Entry[]): void {
  bytes.writeUInt16LE(0xf30a, 0);
  bytes.writeUInt16LE(entries.length, 2);
  bytes.writeUInt16LE(depth, 6);
  for (const [i, { logical, at, count }] of entries.entries()) {
    const entry = bytes.subarray(12 + i * 12);
    entry.writeUInt32LE(logical, 0);
    if (depth > 0) entry.writeUInt32LE(at, 4);
    else {
      entry.writeUInt16LE(count ?? 1, 4);
      entry.writeUInt32LE(at, 8);
    }
  }
}
