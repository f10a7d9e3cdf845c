/**
 * What the kernel writes into the superblock of ext4 whenever a file system is frozen, thawed or synced, also when nothing in
 * it has changed. Offsets are those of `struct ext4_super_block` in the kernel's documentation (filesystems/ext4/super.rst).
 */
import { MAGIC, SUPERBLOCK_BYTES, SUPERBLOCK_OFFSET } from "./superblock.ts";

const NOTES = [
  { what: "s_wtime", offset: 0x30, length: 4 },
  { what: "s_kbytes_written", offset: 0x178, length: 8 },
  { what: "s_wtime_hi", offset: 0x274, length: 1 },
  { what: "s_checksum", offset: 0x3fc, length: 4 },
] as const;

/**
 * Whether two file systems that are the same behind these bytes hold the same: when it was written to last, how much in all,
 * and the checksum of that may differ.
 * @param before, after  As many bytes of both, from the start of their disks; at least 2048.
 */
export function differsInNotesOnly(before: Buffer, after: Buffer): boolean {
  return [before, after].every(isExt4) && withoutNotes(before).equals(withoutNotes(after));
}

const isExt4 = (bytes: Buffer) =>
  bytes.length >= SUPERBLOCK_OFFSET + SUPERBLOCK_BYTES && bytes.readUInt16LE(SUPERBLOCK_OFFSET + 0x38) === MAGIC;

function withoutNotes(bytes: Buffer): Buffer {
  const rest = Buffer.from(bytes);
  for (const { offset, length } of NOTES) rest.fill(0, SUPERBLOCK_OFFSET + offset, SUPERBLOCK_OFFSET + offset + length);
  return rest;
}
