/**
 * The superblock of ext4: sizes, and what a reader must understand. Offsets are those of `struct ext4_super_block` in the
 * kernel's documentation (filesystems/ext4/super.rst).
 */
import { damaged, unreadable } from "./damaged.ts";

export const SUPERBLOCK_OFFSET = 1024;
export const SUPERBLOCK_BYTES = 1024;

export interface Superblock {
  readonly blockBytes: number;
  readonly blockCount: number;
  readonly firstDataBlock: number;
  readonly blocksPerGroup: number;
  readonly inodesPerGroup: number;
  readonly inodeCount: number;
  readonly inodeBytes: number;
  readonly descriptorBytes: number;
  /** From this group of descriptors on they lie among the groups that they describe; undefined: all lie at the start. */
  readonly firstMetaGroup: number | undefined;
  readonly sparseSuper: boolean;
  readonly journalInode: number;
  /** What happened last is in the journal only. */
  readonly needsRecovery: boolean;
}

export const MAGIC = 0xef53;
const RECOVER = 0x4;
const META_BG = 0x10;
const EXTENTS = 0x40;
const BITS_64 = 0x80;
/** file types in folders, recovery, meta_bg, extents, 64bit, mmp, flex_bg, checksum seed, large folders */
const UNDERSTOOD = 0x2 | RECOVER | META_BG | EXTENTS | BITS_64 | 0x100 | 0x200 | 0x2000 | 0x4000;
const OTHERS: Readonly<Record<number, string>> = {
  1: "compression",
  8: "a device for its journal",
  1024: "ea_inode",
  4096: "dirdata",
  32768: "inline_data",
  65536: "encryption",
  131072: "casefold",
};

/**
 * @param bytes  1024 bytes from offset 1024 of the disk.
 * @throws AppError `validation_failed` when it is none or cannot be, `not_supported` for features that are not understood.
 */
export function parseSuperblock(bytes: Buffer, { sizeBytes }: { readonly sizeBytes: number }): Superblock {
  if (bytes.readUInt16LE(0x38) !== MAGIC) throw damaged("it has no ext4 superblock");
  const features = bytes.readUInt32LE(0x60);
  for (let bit = 1; bit < 2 ** 32; bit *= 2)
    if (Math.floor(features / bit) % 2 === 1 && !(UNDERSTOOD & bit))
      throw unreadable(`uses ${OTHERS[bit] ?? `feature 0x${bit.toString(16)}`}, which is not read here`);
  if (!(features & EXTENTS)) throw unreadable("is of ext2 or ext3, without extents");
  const is64 = (features & BITS_64) !== 0;
  const logBlock = bytes.readUInt32LE(0x18);
  const descriptorBytes = is64 ? bytes.readUInt16LE(0xfe) : 32;
  const inodeBytes = bytes.readUInt16LE(0x58);
  const high = is64 ? bytes.readUInt32LE(0x150) : 0;
  const superblock: Superblock = {
    blockBytes: logBlock <= 6 ? 1024 << logBlock : 0,
    blockCount: bytes.readUInt32LE(0x4) + high * 2 ** 32,
    firstDataBlock: bytes.readUInt32LE(0x14),
    blocksPerGroup: bytes.readUInt32LE(0x20),
    inodesPerGroup: bytes.readUInt32LE(0x28),
    inodeCount: bytes.readUInt32LE(0x0),
    inodeBytes,
    descriptorBytes,
    firstMetaGroup: features & META_BG ? bytes.readUInt32LE(0x104) : undefined,
    sparseSuper: (bytes.readUInt32LE(0x64) & 0x1) !== 0,
    journalInode: bytes.readUInt32LE(0xe0),
    needsRecovery: (features & RECOVER) !== 0,
  };
  check(superblock, sizeBytes);
  return superblock;
}

function check(superblock: Superblock, sizeBytes: number): void {
  const { blockBytes, blockCount, blocksPerGroup, inodesPerGroup, inodeBytes, descriptorBytes } = superblock;
  const isPower = (value: number) => value > 0 && Number.isInteger(Math.log2(value));
  if (blockBytes === 0) throw damaged("its blocks have no size that there is");
  if (blockCount * blockBytes > sizeBytes)
    throw damaged(`it has ${blockCount} blocks of ${blockBytes} bytes, the disk only ${sizeBytes} bytes`);
  if (superblock.firstDataBlock > 1) throw damaged("it has no first block");
  if (!isPower(inodeBytes) || inodeBytes < 128 || inodeBytes > blockBytes)
    throw damaged(`its inodes have ${inodeBytes} bytes`);
  if (!isPower(descriptorBytes) || descriptorBytes < 32 || descriptorBytes > blockBytes)
    throw damaged(`the descriptors of its groups have ${descriptorBytes} bytes`);
  if (blocksPerGroup === 0 || blocksPerGroup > 8 * blockBytes * 32 || inodesPerGroup === 0)
    throw damaged("its groups have no size that there is");
  const groups = Math.ceil((blockCount - superblock.firstDataBlock) / blocksPerGroup);
  if (superblock.inodeCount > groups * inodesPerGroup) throw damaged("it has more inodes than its groups hold");
}

/** Where the descriptor of a group lies, in bytes. */
export function descriptorOffset(superblock: Superblock, group: number): number {
  const { blockBytes, descriptorBytes, firstDataBlock, firstMetaGroup } = superblock;
  const perBlock = blockBytes / descriptorBytes;
  const meta = Math.floor(group / perBlock);
  const within = (group % perBlock) * descriptorBytes;
  if (firstMetaGroup === undefined || meta < firstMetaGroup) return (firstDataBlock + 1 + meta) * blockBytes + within;
  const first = meta * perBlock;
  const start = first * superblock.blocksPerGroup + firstDataBlock;
  return (start + (hasSuperblock(superblock, first) ? 1 : 0)) * blockBytes + within;
}

function hasSuperblock({ sparseSuper }: Superblock, group: number): boolean {
  if (!sparseSuper || group <= 1) return true;
  return [3, 5, 7].some((base) => {
    let power = base;
    while (power < group) power *= base;
    return power === group;
  });
}
