/** Extended attributes of ext4: behind the fields of the inode, and in a block of their own. */
import { damaged, unreadable } from "./damaged.ts";

const MAGIC = 0xea020000;
const BLOCK_HEADER_BYTES = 32;
const ENTRY_BYTES = 16;
const PREFIXES: Readonly<Record<number, string>> = {
  1: "user.",
  2: "system.posix_acl_access",
  3: "system.posix_acl_default",
  4: "trusted.",
  6: "security.",
  7: "system.",
};

export type Attributes = ReadonlyMap<string, Buffer>;

/** @param room  What is behind the fields of the inode. */
export function attributesInInode(room: Buffer, inode: number): Attributes {
  if (room.length < 8 || room.readUInt32LE(0) !== MAGIC) return new Map();
  return entries(room.subarray(4), { first: 0, inode });
}

export function attributesInBlock(block: Buffer, inode: number): Attributes {
  if (block.readUInt32LE(0) !== MAGIC) throw damaged(`the attributes of inode ${inode} are none`);
  return entries(block, { first: BLOCK_HEADER_BYTES, inode });
}

/** @param bytes  Where offsets of values count from. */
function entries(bytes: Buffer, { first, inode }: { readonly first: number; readonly inode: number }): Attributes {
  const bad = () => damaged(`the attributes of inode ${inode} are not all there`);
  const found = new Map<string, Buffer>();
  let left = bytes.length;
  for (let at = first; at + 4 <= bytes.length && bytes.readUInt32LE(at) !== 0; ) {
    if (at + ENTRY_BYTES > bytes.length) throw bad();
    const nameBytes = bytes[at] ?? 0;
    const index = bytes[at + 1] ?? 0;
    const offset = bytes.readUInt16LE(at + 2);
    const size = bytes.readUInt32LE(at + 8);
    if (bytes.readUInt32LE(at + 4) !== 0) throw unreadable(`keeps attributes of inode ${inode} in inodes of their own`);
    left -= size; // values that lie in each other would be more than there is
    if (at + ENTRY_BYTES + nameBytes > bytes.length || offset + size > bytes.length || left < 0) throw bad();
    const prefix = PREFIXES[index];
    const name = `${prefix}${bytes.toString("latin1", at + ENTRY_BYTES, at + ENTRY_BYTES + nameBytes)}`;
    const value = bytes.subarray(offset, offset + size);
    if (prefix !== undefined) found.set(name, index === 2 || index === 3 ? aclOf(value, inode) : Buffer.from(value));
    at += ENTRY_BYTES + Math.ceil(nameBytes / 4) * 4;
  }
  return found;
}

const ACL_ON_DISK = 1;
const ACL_OF_PROGRAMS = 2;
const TAG_USER = 0x2;
const TAG_GROUP = 0x8;
const NOBODY = 0xffffffff;

/** An access list as programs get and set it: ext4 leaves the ids of entries away that have none. */
function aclOf(value: Buffer, inode: number): Buffer {
  const bad = () => damaged(`an access list of inode ${inode} is none`);
  if (value.length < 4 || value.readUInt32LE(0) !== ACL_ON_DISK) throw bad();
  const header = Buffer.alloc(4);
  header.writeUInt32LE(ACL_OF_PROGRAMS);
  const parts = [header];
  for (let at = 4; at < value.length; ) {
    if (at + 4 > value.length) throw bad();
    const tag = value.readUInt16LE(at);
    const hasId = tag === TAG_USER || tag === TAG_GROUP;
    if (hasId && at + 8 > value.length) throw bad();
    const entry = Buffer.alloc(8);
    value.copy(entry, 0, at, at + 4);
    entry.writeUInt32LE(hasId ? value.readUInt32LE(at + 4) : NOBODY, 4);
    parts.push(entry);
    at += hasId ? 8 : 4;
  }
  return Buffer.concat(parts);
}
