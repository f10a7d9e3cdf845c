/** A pack: records back to back, an index of them, a trailer. @see docs/formats/workspace-store.md */
import { randomBytes } from "node:crypto";
import { AppError } from "@mags/core";
import { type Codec, type RecordRef, sha256Of } from "./records.ts";

const MAGIC = Buffer.from("MAGSPACK", "latin1");
const END_MAGIC = Buffer.from("KCAPSGAM", "latin1");
const FORMAT = 1;
const HEADER_BYTES = 16;
const ENTRY_BYTES = 48;
const TRAILER_BYTES = 48;
/** No pack is larger. */
export const MAX_PACK_BYTES = 64 << 20;

export const KIND = { chunk: 1, table: 2 } as const;
export type Kind = (typeof KIND)[keyof typeof KIND];

export interface PackEntry extends RecordRef {
  readonly kind: Kind;
}

/** Collects the records of one pack in memory. */
export interface PackBuilder {
  readonly id: string;
  readonly recordCount: number;
  /** Size of the pack if it were finished now. */
  readonly sizeBytes: number;
  add(record: Omit<PackEntry, "pack" | "offset" | "storedBytes">, stored: Uint8Array): PackEntry;
  /** The pack's bytes; nothing can be added afterwards. */
  finish(): Buffer;
}

export function newPackId(): string {
  return randomBytes(16).toString("hex");
}

export function createPackBuilder(id: string = newPackId()): PackBuilder {
  const entries: PackEntry[] = [];
  const parts: Uint8Array[] = [header()];
  let end = HEADER_BYTES;
  return {
    id,
    get recordCount() {
      return entries.length;
    },
    get sizeBytes() {
      return end + entries.length * ENTRY_BYTES + TRAILER_BYTES;
    },
    add(record, stored) {
      const entry = { ...record, pack: id, offset: end, storedBytes: stored.length };
      entries.push(entry);
      parts.push(stored);
      end += stored.length;
      return entry;
    },
    finish: () => Buffer.concat([...parts, ...ending(entries, end)]),
  };
}

function header(): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES);
  MAGIC.copy(bytes);
  bytes.writeUInt16LE(FORMAT, 8);
  return bytes;
}

function ending(entries: readonly PackEntry[], indexOffset: number): Buffer[] {
  const index = Buffer.alloc(entries.length * ENTRY_BYTES);
  for (const [i, entry] of entries.entries()) {
    const at = i * ENTRY_BYTES;
    index.write(entry.sha256, at, "hex");
    index.writeUInt32LE(entry.offset, at + 32);
    index.writeUInt32LE(entry.storedBytes, at + 36);
    index.writeUInt32LE(entry.plainBytes, at + 40);
    index.writeUInt8(entry.kind, at + 44);
    index.writeUInt8(entry.codec, at + 45);
  }
  const trailer = Buffer.alloc(TRAILER_BYTES);
  trailer.writeUInt32LE(entries.length, 0);
  trailer.writeUInt32LE(indexOffset, 4);
  trailer.write(sha256Of(Buffer.concat([header(), index])), 8, "hex");
  END_MAGIC.copy(trailer, 40);
  return [index, trailer];
}

/**
 * The index of a whole pack, checked; the records themselves are not.
 * @throws AppError `store_corrupt`.
 */
export function readPackIndex(id: string, pack: Buffer): PackEntry[] {
  const bad = (why: string) => new AppError("store_corrupt", `pack ${id} is damaged: ${why}`);
  if (pack.length < HEADER_BYTES + TRAILER_BYTES || pack.length > MAX_PACK_BYTES)
    throw bad(`it has ${pack.length} bytes`);
  if (!pack.subarray(0, 8).equals(MAGIC)) throw bad("it does not begin as a pack");
  const format = pack.readUInt16LE(8);
  if (format !== FORMAT) throw bad(`it has format ${format}, and only ${FORMAT} is known`);
  const trailer = pack.subarray(-TRAILER_BYTES);
  if (!trailer.subarray(40).equals(END_MAGIC)) throw bad("it has no end");
  const count = trailer.readUInt32LE(0);
  const indexOffset = trailer.readUInt32LE(4);
  if (indexOffset < HEADER_BYTES || indexOffset + count * ENTRY_BYTES + TRAILER_BYTES !== pack.length)
    throw bad("its index is not where its trailer says");
  const index = pack.subarray(indexOffset, pack.length - TRAILER_BYTES);
  const digest = sha256Of(Buffer.concat([pack.subarray(0, HEADER_BYTES), index]));
  if (digest !== trailer.toString("hex", 8, 40)) throw bad("its index has another digest");
  const entries = Array.from({ length: count }, (_, i) => entryAt(id, index, i * ENTRY_BYTES));
  let end = HEADER_BYTES;
  for (const entry of entries) {
    if (entry.offset !== end) throw bad("its records do not follow each other");
    end += entry.storedBytes;
  }
  if (end !== indexOffset) throw bad("its records do not end at the index");
  return entries;
}

function entryAt(pack: string, index: Buffer, at: number): PackEntry {
  return {
    pack,
    sha256: index.toString("hex", at, at + 32),
    offset: index.readUInt32LE(at + 32),
    storedBytes: index.readUInt32LE(at + 36),
    plainBytes: index.readUInt32LE(at + 40),
    kind: index.readUInt8(at + 44) as Kind, // a digest proves what a writer wrote
    codec: index.readUInt8(at + 45) as Codec,
  };
}
