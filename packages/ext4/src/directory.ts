/**
 * One block of a directory. Those of an index look like empty ones: its nodes lie in the room of an entry that is free, so
 * a directory with an index is read as one without.
 */
import { damaged } from "./damaged.ts";

export interface DirEntry {
  /** As it is on the disk, one character a byte; never `.`, `..`, and without a slash. */
  readonly name: string;
  readonly inode: number;
}

const HEADER_BYTES = 8;

/** @throws AppError `validation_failed`. */
export function* entriesOf(block: Buffer, directory: number): Generator<DirEntry, void, void> {
  for (let at = 0; at < block.length; ) {
    if (at + HEADER_BYTES > block.length) throw damaged(`directory ${directory} has half an entry`);
    const inode = block.readUInt32LE(at);
    const stated = block.readUInt16LE(at + 4);
    const length = block.length === 65536 && (stated === 65535 || stated === 0) ? 65536 - at : stated;
    const nameBytes = block[at + 6] ?? 0;
    if (length < HEADER_BYTES || length % 4 !== 0 || at + length > block.length)
      throw damaged(`directory ${directory} has an entry of ${length} bytes`);
    if (inode !== 0) {
      if (nameBytes === 0 || HEADER_BYTES + nameBytes > length)
        throw damaged(`directory ${directory} has a name of ${nameBytes} bytes`);
      const name = block.toString("latin1", at + HEADER_BYTES, at + HEADER_BYTES + nameBytes);
      if (name.includes("/") || name.includes("\0")) throw damaged(`directory ${directory} has a name that is none`);
      if (name !== "." && name !== "..") yield { name, inode };
    }
    at += length;
  }
}
