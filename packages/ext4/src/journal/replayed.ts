/** A disk as it is after its journal was replayed, without a write: blocks of the log are read from there. */
import { createTurns } from "@mags/core";
import type { ByteSource } from "../byte-source.ts";
import { damaged } from "../damaged.ts";
import type { Ext4, Region } from "../open-ext4.ts";
import type { Superblock } from "../superblock.ts";
import { readLog } from "./log.ts";
import { JOURNAL_MAGIC, parseJournalSuperblock } from "./superblock.ts";

type Signal = { readonly signal: AbortSignal };
/** A journal is made in one piece or some; each is two numbers to keep. */
const MAX_REGIONS = 100_000;
/** A block of the log is up to 64 KiB, and its checksum is reckoned here. */
const BLOCKS_A_TURN = 64;

export async function replayed(
  disk: Ext4,
  { blockBytes, journalInode }: Superblock,
  options: Signal,
): Promise<ByteSource> {
  const regions = await journalRegions(disk, journalInode, options);
  const placeOf = (block: number) => {
    const offset = block * blockBytes;
    const region = lastUpTo(regions, offset);
    if (!region || offset + blockBytes > region.offset + region.length) throw damaged("its journal has a hole");
    return region.at + offset - region.offset;
  };
  const last = regions.at(-1);
  const readBlock = (block: number) => disk.read(placeOf(block), blockBytes, options);
  const blocks = last ? Math.floor((last.offset + last.length) / blockBytes) : 0;
  const superblock = parseJournalSuperblock(await readBlock(0), { blocks });
  const turn = createTurns({ steps: BLOCKS_A_TURN });
  const logged = await readLog(superblock, { blockBytes, readBlock, turn: () => turn(options) });

  return {
    sizeBytes: disk.sizeBytes,
    async read(offset, length, reading) {
      const bytes = Buffer.from(await disk.read(offset, length, reading));
      const end = Math.ceil((offset + length) / blockBytes);
      for (let block = Math.floor(offset / blockBytes); block < end; block++) {
        const found = logged.get(block);
        if (!found) continue;
        const copy = Buffer.from(await disk.read(placeOf(found.copy), blockBytes, reading));
        if (found.escaped) copy.writeUInt32BE(JOURNAL_MAGIC, 0);
        const at = block * blockBytes - offset;
        copy.copy(bytes, Math.max(at, 0), Math.max(-at, 0));
      }
      return bytes;
    },
  };
}

/** The one that begins last of those that begin before or at the offset. They ascend. */
function lastUpTo(regions: readonly Region[], offset: number): Region | undefined {
  let [low, high] = [0, regions.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((regions[middle]?.offset ?? 0) <= offset) low = middle + 1;
    else high = middle;
  }
  return regions[low - 1];
}

async function journalRegions(disk: Ext4, inode: number, options: Signal): Promise<readonly Region[]> {
  const regions: Region[] = [];
  const turn = createTurns();
  for await (const region of disk.regions(await disk.inode(inode, options), options)) {
    await turn(options);
    if (regions.push(region) > MAX_REGIONS) throw damaged("its journal is in too many pieces");
  }
  return regions;
}
