/** The superblock of a journal (jbd2), by filesystems/ext4/journal.rst of the kernel's documentation. Big-endian. */
import { damaged, unreadable } from "../damaged.ts";
import { crc32c } from "./crc32c.ts";

export interface JournalSuperblock {
  readonly blockCount: number;
  /** First block after the superblock that belongs to the log. */
  readonly first: number;
  /** Where the log begins; 0: it is empty. */
  readonly start: number;
  readonly sequence: number;
  readonly tagBytes: number;
  readonly is64: boolean;
  readonly version3: boolean;
  /** What checksums begin with; undefined: there are none. */
  readonly seed: number | undefined;
}

export const JOURNAL_MAGIC = 0xc03b3998;
/** Of a journal that is not replayed here. */
export const JOURNAL_CURE = "export the disk image, run fsck -f on it, and mount that";
const BITS_64 = 0x2;
const ASYNC_COMMIT = 0x4;
const CHECKSUMS_2 = 0x8;
const CHECKSUMS_3 = 0x10;
const UNDERSTOOD = 0x1 | BITS_64 | ASYNC_COMMIT | CHECKSUMS_2 | CHECKSUMS_3;

export function parseJournalSuperblock(block: Buffer, { blocks }: { readonly blocks: number }): JournalSuperblock {
  const kind = block.readUInt32BE(4);
  if (block.readUInt32BE(0) !== JOURNAL_MAGIC || (kind !== 3 && kind !== 4)) throw damaged("its journal is none");
  const features = kind === 4 ? block.readUInt32BE(0x28) : 0;
  if (features & ~UNDERSTOOD) throw unreadable("has changes in a journal that only a kernel can replay", JOURNAL_CURE);
  const superblock = {
    blockCount: block.readUInt32BE(0x10),
    first: block.readUInt32BE(0x14),
    start: block.readUInt32BE(0x1c),
    sequence: block.readUInt32BE(0x18),
    tagBytes: tagBytesOf(features),
    is64: (features & BITS_64) !== 0,
    version3: (features & CHECKSUMS_3) !== 0,
    seed: features & (CHECKSUMS_2 | CHECKSUMS_3) ? crc32c(0xffffffff, block.subarray(0x30, 0x40)) : undefined,
  };
  const { blockCount, first, start } = superblock;
  if (block.readUInt32BE(0xc) !== block.length || blockCount > blocks || first < 1 || first >= blockCount)
    throw damaged("its journal has no size that there is");
  if (start !== 0 && (start < first || start >= blockCount)) throw damaged("its journal begins nowhere");
  return superblock;
}

function tagBytesOf(features: number): number {
  if (features & CHECKSUMS_3) return 16;
  return 8 + (features & CHECKSUMS_2 ? 2 : 0) + (features & BITS_64 ? 4 : 0);
}
