/** Whether two files of the same size have other bytes, reading as little as that takes. */
import type { Ext4, Inode, Region } from "@mags/ext4";

type Signal = { readonly signal: AbortSignal };

export interface ComparedFile {
  readonly disk: Ext4;
  readonly inode: Inode;
}

/** Whether a byte range of both disks is known to be equal. */
export type SameOnDisk = (at: number, length: number, options: Signal) => Promise<boolean>;

/** A stretch of both files; undefined: a hole there. */
interface Stretch {
  readonly length: number;
  readonly before: number | undefined;
  readonly after: number | undefined;
}

const PIECE_BYTES = 256 << 10;

export async function contentDiffers(
  before: ComparedFile,
  after: ComparedFile,
  { sameOnDisk, turn, signal }: Signal & { readonly sameOnDisk: SameOnDisk; readonly turn: () => Promise<void> },
): Promise<boolean> {
  const bytes = ({ disk }: ComparedFile, at: number | undefined, length: number) =>
    at === undefined ? Buffer.alloc(length) : disk.read(at, length, { signal });
  const regions = ({ disk, inode }: ComparedFile) => disk.regions(inode, { signal });
  for await (const stretch of stretches(regions(before), regions(after)))
    for (let done = 0; done < stretch.length; done += PIECE_BYTES) {
      await turn();
      const length = Math.min(PIECE_BYTES, stretch.length - done);
      const [old, now] = [stretch.before, stretch.after].map((at) => (at === undefined ? undefined : at + done));
      if (old !== undefined && old === now && (await sameOnDisk(old, length, { signal }))) continue;
      if (!(await bytes(before, old, length)).equals(await bytes(after, now, length))) return true;
    }
  return false;
}

/** Cuts two lists of regions at each other's ends; where both have holes nothing is given. */
async function* stretches(
  before: AsyncGenerator<Region, void, void>,
  after: AsyncGenerator<Region, void, void>,
): AsyncGenerator<Stretch, void, void> {
  const take = async (from: AsyncGenerator<Region, void, void>) => (await from.next()).value ?? undefined;
  const rest = ({ offset, length, at }: Region, by: number) =>
    by < length ? { offset: offset + by, length: length - by, at: at + by } : undefined;
  let old = await take(before);
  let now = await take(after);
  while (old || now) {
    const start = Math.min(old?.offset ?? Infinity, now?.offset ?? Infinity);
    const oldHere = old?.offset === start;
    const nowHere = now?.offset === start;
    const endOf = (region: Region | undefined, here: boolean) =>
      region ? region.offset + (here ? region.length : 0) : Infinity;
    const length = Math.min(endOf(old, oldHere), endOf(now, nowHere)) - start;
    yield { length, before: oldHere ? old?.at : undefined, after: nowHere ? now?.at : undefined };
    if (old && oldHere) old = rest(old, length) ?? (await take(before));
    if (now && nowHere) now = rest(now, length) ?? (await take(after));
  }
}
