export type { ByteSource } from "./byte-source.ts";
export type { Inode, InodeType } from "./inode.ts";
export { type DirEntry, type Ext4, openExt4, type Region, ROOT_INODE } from "./open-ext4.ts";
export { differsInNotesOnly } from "./superblock-notes.ts";
