/** Files that hold the memory of sleeping guests: sparse, and checked before they are used. */
import { type FileHandle, open, stat } from "node:fs/promises";
import { crc32 } from "node:zlib";
import type { DiskIdentity } from "./sandbox-record.ts";

/** What is in such a file: which of its blocks are not zero, a bit each from the lowest on, and the checksum of these. */
export interface Seal {
  readonly bytes: number;
  readonly blocks: string;
  readonly crc32: number;
}

/** Small enough that a checksum holds nothing else up: 50 µs each. */
const BLOCK_BYTES = 256 * 1024;
const READS_AHEAD = 4;

/** Reads all of the file. */
export async function sealOf(path: string): Promise<Seal> {
  await using file = await open(path, "r");
  const { size } = await file.stat();
  const count = Math.ceil(size / BLOCK_BYTES);
  const blocks = Buffer.alloc(Math.ceil(count / 8));
  const zeros = Buffer.alloc(BLOCK_BYTES);
  let sum = 0;
  const all = Array.from({ length: count }, (_, index) => index);
  for await (const { index, block } of blocksOf(file, all)) {
    if (block.equals(zeros.subarray(0, block.length))) continue;
    blocks.writeUInt8(blocks.readUInt8(index >> 3) | (1 << (index & 7)), index >> 3);
    sum = crc32(block, sum);
  }
  return { bytes: size, blocks: blocks.toString("base64"), crc32: sum };
}

/**
 * True when the file is as it was sealed. Reads only what is stored in it; a hole holds nothing that could change. Rejects
 * with the signal's reason.
 */
export async function isIntact(
  path: string,
  seal: Seal,
  { signal }: { readonly signal: AbortSignal },
): Promise<boolean> {
  await using file = await open(path, "r");
  if ((await file.stat()).size !== seal.bytes) return false;
  const bits = Buffer.from(seal.blocks, "base64");
  const stored = Array.from({ length: bits.length * 8 }, (_, index) => index).filter(
    (index) => bits.readUInt8(index >> 3) & (1 << (index & 7)),
  );
  let sum = 0;
  for await (const { block } of blocksOf(file, stored)) {
    signal.throwIfAborted();
    sum = crc32(block, sum);
  }
  return sum === seal.crc32;
}

/** A block is overwritten when the next one is asked for. */
async function* blocksOf(file: FileHandle, indexes: readonly number[]) {
  const reads: ReturnType<typeof readBlock>[] = [];
  const ahead = indexes.values();
  const readInto = (buffer: Buffer) => {
    const { value: index, done } = ahead.next();
    if (done) return;
    const read = readBlock(file, index, buffer);
    read.catch(() => {}); // it is waited for when those before it were taken
    reads.push(read);
  };
  try {
    // Buffers of their own for all blocks would have the server's heap collected again and again.
    for (let count = 0; count < READS_AHEAD; count++) readInto(Buffer.allocUnsafeSlow(BLOCK_BYTES));
    for (const index of indexes) {
      const read = await reads.shift();
      if (!read) return;
      yield { index, block: read.block };
      readInto(read.buffer);
    }
  } finally {
    await Promise.allSettled(reads); // the file is closed after them
  }
}

async function readBlock(file: FileHandle, index: number, buffer: Buffer) {
  const { bytesRead } = await file.read(buffer, 0, BLOCK_BYTES, index * BLOCK_BYTES);
  return { buffer, block: buffer.subarray(0, bytesRead) };
}

export async function diskIdentity(path: string): Promise<DiskIdentity> {
  const { size, mtimeNs } = await stat(path, { bigint: true });
  return { bytes: Number(size), modifiedNs: String(mtimeNs) };
}

/** Bytes that the file takes of the disk. */
export async function storedBytes(path: string): Promise<number> {
  return (await stat(path)).blocks * 512;
}
