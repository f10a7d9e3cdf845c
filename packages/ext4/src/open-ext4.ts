/**
 * Reads an ext4 file system that nobody vouches for, without mounting it: what is kept in memory is bounded, what leads in
 * circles ends, what is not understood is refused. It writes nothing. Checksums of metadata are not looked at: damage on
 * the way is the business of whoever gives the bytes, and who makes a hostile file system makes its checksums, too.
 */
import { type Attributes, attributesInBlock, attributesInInode } from "./attributes.ts";
import { type ByteSource, createCachedSource } from "./byte-source.ts";
import { damaged } from "./damaged.ts";
import { type DirEntry, entriesOf } from "./directory.ts";
import { extentsOf } from "./extents.ts";
import { BASE_BYTES, BLOCK_FIELD, BLOCK_FIELD_BYTES, extraBytes, type Inode, parseInode } from "./inode.ts";
import { replayed } from "./journal/replayed.ts";
import {
  descriptorOffset,
  parseSuperblock,
  SUPERBLOCK_BYTES,
  SUPERBLOCK_OFFSET,
  type Superblock,
} from "./superblock.ts";

export type { DirEntry } from "./directory.ts";

type Signal = { readonly signal: AbortSignal };

export const ROOT_INODE = 2;
const MAX_TARGET_BYTES = 4095;

/** A part of a file that was written. */
export interface Region {
  /** In the file. */
  readonly offset: number;
  readonly length: number;
  /** Byte of the disk where it begins. */
  readonly at: number;
}

/** All calls may run concurrently, and throw AppError `validation_failed` for what is damaged. */
export interface Ext4 {
  readonly sizeBytes: number;
  /** Bytes are read where they lie on the disk; false: a journal was replayed over it, in memory. */
  readonly asStored: boolean;
  inode(number: number, options: Signal): Promise<Inode>;
  /** Of a directory, in the order of the disk. */
  entries(directory: Inode, options: Signal): AsyncGenerator<DirEntry, void, void>;
  /** What was written of a file up to its end, ascending; neighbours on the disk are one. What is between are zeros. */
  regions(file: Inode, options: Signal): AsyncGenerator<Region, void, void>;
  /** Bytes of the disk, as they are when the journal has been replayed. */
  read(offset: number, length: number, options: Signal): Promise<Buffer>;
  /** The target, one character a byte. */
  readLink(symlink: Inode, options: Signal): Promise<string>;
  /** By full name, access lists as programs know them. */
  attributes(inode: Inode, options: Signal): Promise<Attributes>;
}

const UNIT_BYTES = 1 << 20;

/**
 * @param options.unitBytes  What is read of the source at once, a power of two. Default: 1 MiB, for who reads all of it.
 * @throws AppError `validation_failed` if it is no ext4, `not_supported` if it has features that are not read here, or a
 *   journal that only a kernel replays.
 */
export async function openExt4(
  source: ByteSource,
  { unitBytes = UNIT_BYTES, signal }: Signal & { readonly unitBytes?: number },
): Promise<Ext4> {
  const cached = createCachedSource(source, { unitBytes });
  const superblock = await superblockOf(cached, { signal });
  if (!superblock.needsRecovery) return createExt4(cached, superblock, { asStored: true });
  const unrecovered = createExt4(cached, superblock, { asStored: true });
  const disk = await replayed(unrecovered, superblock, { signal });
  return createExt4(disk, await superblockOf(disk, { signal }), { asStored: false });
}

async function superblockOf(source: ByteSource, options: Signal): Promise<Superblock> {
  if (source.sizeBytes < SUPERBLOCK_OFFSET + SUPERBLOCK_BYTES) throw damaged("it has no ext4 superblock");
  return parseSuperblock(await source.read(SUPERBLOCK_OFFSET, SUPERBLOCK_BYTES, options), source);
}

function createExt4(source: ByteSource, superblock: Superblock, { asStored }: Pick<Ext4, "asStored">): Ext4 {
  const { blockBytes, blockCount, inodeBytes, inodesPerGroup, inodeCount } = superblock;

  const readBlock = (block: number, options: Signal) => {
    if (!(block > 0 && block < blockCount)) throw damaged(`block ${block} is none of its ${blockCount}`);
    return source.read(block * blockBytes, blockBytes, options);
  };

  async function inode(number: number, options: Signal): Promise<Inode> {
    if (!(number >= 1 && number <= inodeCount)) throw damaged(`there is no inode ${number}`);
    const group = Math.floor((number - 1) / inodesPerGroup);
    const descriptor = await source.read(descriptorOffset(superblock, group), superblock.descriptorBytes, options);
    const high = descriptor.length >= 64 ? descriptor.readUInt32LE(0x28) : 0;
    const table = (descriptor.readUInt32LE(0x8) + high * 2 ** 32) * blockBytes;
    const at = table + ((number - 1) % inodesPerGroup) * inodeBytes;
    return parseInode(Buffer.from(await source.read(at, inodeBytes, options)), number);
  }

  async function* regions(file: Inode, options: Signal): AsyncGenerator<Region, void, void> {
    let held: Region | undefined;
    let left = blockCount;
    for await (const { logical, count, physical } of extentsOf(file, (block) => readBlock(block, options))) {
      left -= count;
      if (!(physical > 0 && physical + count <= blockCount && left >= 0))
        throw damaged(`inode ${file.number} has blocks that the disk does not have`);
      const offset = logical * blockBytes;
      const length = Math.min(count * blockBytes, file.sizeBytes - offset);
      if (length <= 0) break; // allocated behind the end
      const at = physical * blockBytes;
      if (held && held.offset + held.length === offset && held.at + held.length === at) {
        held = { ...held, length: held.length + length };
        continue;
      }
      if (held) yield held;
      held = { offset, length, at };
    }
    if (held) yield held;
  }

  return {
    sizeBytes: blockCount * blockBytes,
    asStored,
    inode,
    regions,
    read: source.read,
    async *entries(directory, options) {
      for await (const region of regions(directory, options))
        for (let at = 0; at < region.length; at += blockBytes) {
          if (region.length - at < blockBytes) throw damaged(`directory ${directory.number} ends within a block`);
          yield* entriesOf(await source.read(region.at + at, blockBytes, options), directory.number);
        }
    },
    async readLink(symlink, options) {
      const { sizeBytes, raw } = symlink;
      if (sizeBytes > MAX_TARGET_BYTES || sizeBytes === 0)
        throw damaged(`the target of symlink ${symlink.number} has ${sizeBytes} bytes`);
      if (sizeBytes < BLOCK_FIELD_BYTES) return raw.toString("latin1", BLOCK_FIELD, BLOCK_FIELD + sizeBytes);
      for await (const { offset, length, at } of regions(symlink, options))
        if (offset === 0 && length === sizeBytes) return (await source.read(at, length, options)).toString("latin1");
      throw damaged(`symlink ${symlink.number} has no target`);
    },
    async attributes(file, options) {
      const inside = attributesInInode(file.raw.subarray(BASE_BYTES + extraBytes(file.raw, file.number)), file.number);
      if (file.attributeBlock === 0) return inside;
      const block = await readBlock(file.attributeBlock, options);
      return new Map([...inside, ...attributesInBlock(block, file.number)]);
    },
  };
}
