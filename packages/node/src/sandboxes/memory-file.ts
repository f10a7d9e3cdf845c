/** Files that hold the memory of sleeping guests: sparse, and checked before they are used. */
import { type FileHandle, open, stat } from "node:fs/promises";
import { crc32 } from "node:zlib";
import type { DiskIdentity } from "./sandbox-record.ts";

/** Small enough that a checksum holds nothing else up: 50 µs each. */
const BLOCK_BYTES = 256 * 1024;
const READS_AHEAD = 4;

/**
 * A checksum of what is stored in the file: of every block that is not zero, and of where it stands. Rejects with the
 * signal's reason.
 */
export async function checksumOf(path: string, { signal }: { readonly signal?: AbortSignal } = {}): Promise<string> {
  await using file = await open(path, "r");
  const { size } = await file.stat();
  const zeros = Buffer.alloc(BLOCK_BYTES);
  const place = Buffer.alloc(12);
  let sum = 0;
  let blocks = 0;
  const reads: Promise<Buffer>[] = [];
  for (let next = 0, at = 0; at < size; at += BLOCK_BYTES) {
    for (; next < size && reads.length < READS_AHEAD; next += BLOCK_BYTES) reads.push(readBlock(file, next));
    signal?.throwIfAborted();
    const block = await (reads.shift() as Promise<Buffer>);
    if (block.equals(zeros.subarray(0, block.length))) continue;
    place.writeUIntLE(at, 0, 6);
    place.writeUInt32LE(crc32(block), 8);
    sum = crc32(place, sum);
    blocks++;
  }
  await Promise.all(reads);
  return `crc32:${blocks}:${sum.toString(16)}`;
}

async function readBlock(file: FileHandle, position: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(BLOCK_BYTES);
  const { bytesRead } = await file.read(buffer, 0, BLOCK_BYTES, position);
  return buffer.subarray(0, bytesRead);
}

export async function diskIdentity(path: string): Promise<DiskIdentity> {
  const { size, mtimeNs } = await stat(path, { bigint: true });
  return { bytes: Number(size), modifiedNs: String(mtimeNs) };
}

/** Bytes that the file takes of the disk. */
export async function storedBytes(path: string): Promise<number> {
  return (await stat(path)).blocks * 512;
}
