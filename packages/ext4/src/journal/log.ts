/**
 * What the log of a journal holds: for each block of the disk the last copy that was committed and not revoked later. A
 * transaction that is not whole, which is where a power cut ends the log, counts as not there.
 */
import { damaged, unreadable } from "../damaged.ts";
import { crc32c } from "./crc32c.ts";
import { JOURNAL_CURE, JOURNAL_MAGIC, type JournalSuperblock } from "./superblock.ts";

export interface LoggedBlock {
  /** Block of the journal with the copy. */
  readonly copy: number;
  /** The copy began with the magic number of the journal, which was taken out. */
  readonly escaped: boolean;
}

const HEADER_BYTES = 12;
const UUID_BYTES = 16;
const DESCRIPTOR = 1;
const COMMIT = 2;
const REVOKE = 5;
const ESCAPED = 0x1;
const SAME_UUID = 0x2;
const LAST = 0x8;
/** Far more than a journal of 1 GiB revokes in practice; each costs some 50 bytes. */
const MAX_REVOKED = 1_000_000;
/** As mkfs makes journals, at most. Each block costs some 200 bytes here. */
const MAX_LOG_BLOCKS = 262_144;
const MAX_LOG_BYTES = 1 << 30;

interface Transaction {
  readonly blocks: (LoggedBlock & { readonly block: number })[];
  readonly revoked: number[];
  /** All checksums were right. */
  whole: boolean;
}

export interface LogReading {
  readonly blockBytes: number;
  /** A block of the journal. */
  readonly readBlock: (block: number) => Promise<Buffer>;
  /** Waited for at each block: it gives way to others, and ends what is not wanted any more. */
  readonly turn: () => Promise<void>;
}

/** @throws AppError `validation_failed`; `not_supported` when more is logged than is kept in memory. */
export async function readLog(
  superblock: JournalSuperblock,
  { blockBytes, readBlock, turn }: LogReading,
): Promise<ReadonlyMap<number, LoggedBlock>> {
  const { blockCount, first, seed, version3 } = superblock;
  const committed: Transaction[] = [];
  let revokedCount = 0;
  let current: Transaction = { blocks: [], revoked: [], whole: true };
  let { sequence, start: at } = superblock;
  let left = blockCount - first;
  const most = Math.min(MAX_LOG_BLOCKS, MAX_LOG_BYTES / blockBytes);
  let steps = 0;
  const step = async () => {
    await turn();
    if (++steps > most) throw unreadable(`has more than ${most} blocks of changes in its journal`, JOURNAL_CURE);
    at = at + 1 < blockCount ? at + 1 : first;
    left--;
  };
  while (at !== 0 && left > 0) {
    const block = await readBlock(at);
    const kind = block.readUInt32BE(4);
    if (block.readUInt32BE(0) !== JOURNAL_MAGIC || block.readUInt32BE(8) !== sequence) break;
    await step();
    if (kind === DESCRIPTOR) {
      current.whole &&= isRight(block, { seed, field: block.length - 4 });
      for (const tag of tagsOf(block, superblock)) {
        if (left <= 0) throw damaged("its journal is longer than itself");
        current.blocks.push({ ...tag, copy: at });
        if (seed !== undefined) current.whole &&= isCopyRight(tag, await readBlock(at), { seed, version3, sequence });
        await step();
      }
    } else if (kind === REVOKE) {
      current.whole &&= isRight(block, { seed, field: block.length - 4 });
      for (const revoked of revokedBy(block, superblock)) {
        current.revoked.push(revoked);
        if (++revokedCount > MAX_REVOKED) throw damaged("its journal takes back more than it can hold");
      }
    } else if (kind === COMMIT) {
      if (!current.whole || !isRight(block, { seed, field: 0x10 })) break;
      committed.push(current);
      current = { blocks: [], revoked: [], whole: true };
      sequence = (sequence + 1) >>> 0;
    } else break;
  }
  return lastOf(committed);
}

function lastOf(committed: readonly Transaction[]): Map<number, LoggedBlock> {
  const last = new Map<number, LoggedBlock>();
  // what a transaction takes back are copies of it and of those before it
  for (const { blocks, revoked } of committed) {
    for (const { block, copy, escaped } of blocks) last.set(block, { copy, escaped });
    for (const block of revoked) last.delete(block);
  }
  return last;
}

interface Tag {
  readonly block: number;
  readonly escaped: boolean;
  readonly checksum: number;
}

function* tagsOf(block: Buffer, { tagBytes, is64, version3, seed }: JournalSuperblock): Generator<Tag, void, void> {
  const end = block.length - (seed === undefined ? 0 : 4);
  for (let at = HEADER_BYTES; at + tagBytes <= end; ) {
    const flags = version3 ? block.readUInt32BE(at + 4) : block.readUInt16BE(at + 6);
    const high = is64 ? block.readUInt32BE(at + 8) : 0;
    const checksum = version3 ? block.readUInt32BE(at + 12) : block.readUInt16BE(at + 4);
    yield { block: block.readUInt32BE(at) + high * 2 ** 32, escaped: (flags & ESCAPED) !== 0, checksum };
    if (flags & LAST) return;
    at += tagBytes + (flags & SAME_UUID ? 0 : UUID_BYTES);
  }
}

function* revokedBy(block: Buffer, { is64, seed }: JournalSuperblock): Generator<number, void, void> {
  const end = block.readUInt32BE(HEADER_BYTES);
  if (end > block.length - (seed === undefined ? 0 : 4)) throw damaged("its journal takes back more than it says");
  const width = is64 ? 8 : 4;
  for (let at = HEADER_BYTES + 4; at + width <= end; at += width)
    yield is64 ? block.readUInt32BE(at) * 2 ** 32 + block.readUInt32BE(at + 4) : block.readUInt32BE(at);
}

/** The checksum of a block counts its own field as zeros. */
function isRight(
  block: Buffer,
  { seed, field }: { readonly seed: number | undefined; readonly field: number },
): boolean {
  if (seed === undefined) return true;
  const blank = Buffer.from(block);
  blank.writeUInt32BE(0, field);
  return crc32c(seed, blank) === block.readUInt32BE(field);
}

function isCopyRight(
  { checksum }: Tag,
  copy: Buffer,
  { seed, version3, sequence }: { readonly seed: number; readonly version3: boolean; readonly sequence: number },
): boolean {
  const number = Buffer.alloc(4);
  number.writeUInt32BE(sequence);
  const sum = crc32c(crc32c(seed, number), copy);
  return checksum === (version3 ? sum : sum & 0xffff);
}
