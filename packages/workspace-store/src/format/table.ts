/** The table of a segment: its stored chunks. @see docs/formats/workspace-store.md */
import { AppError } from "@mags/core";
import { CHUNK_BYTES, CODEC, type Codec, type RecordRef, SEGMENT_CHUNKS } from "./records.ts";

const MAGIC = Buffer.from("MTBL", "latin1");
const FORMAT = 1;
const HEADER_BYTES = 12;
const PACK_ID_BYTES = 16;
const ENTRY_BYTES = 48;
/** No table is larger. */
export const MAX_TABLE_BYTES = HEADER_BYTES + SEGMENT_CHUNKS * (PACK_ID_BYTES + ENTRY_BYTES);

/** Chunks by their place in the segment, 0 to 511. A place that is missing is zeros. */
export type Table = ReadonlyMap<number, RecordRef>;

/** @returns The plain bytes of a table. An empty table has none: it is not stored. */
export function encodeTable(table: Table): Buffer {
  const places = [...table.keys()].toSorted((a, b) => a - b);
  const packs = [...new Set([...table.values()].map(({ pack }) => pack))];
  const numberOf = new Map(packs.map((pack, number) => [pack, number]));
  const first = HEADER_BYTES + packs.length * PACK_ID_BYTES;
  const bytes = Buffer.alloc(first + places.length * ENTRY_BYTES);
  MAGIC.copy(bytes);
  bytes.writeUInt16LE(FORMAT, 4);
  bytes.writeUInt16LE(packs.length, 6);
  bytes.writeUInt16LE(places.length, 8);
  for (const [i, pack] of packs.entries()) bytes.write(pack, HEADER_BYTES + i * PACK_ID_BYTES, "hex");
  let at = first;
  for (const place of places) {
    const ref = table.get(place);
    const number = ref && numberOf.get(ref.pack);
    if (ref === undefined || number === undefined) throw new Error(`place ${place} of a table names no pack`);
    bytes.writeUInt16LE(place, at);
    bytes.writeUInt16LE(number, at + 2);
    bytes.writeUInt32LE(ref.offset, at + 4);
    bytes.writeUInt32LE(ref.storedBytes, at + 8);
    bytes.writeUInt8(ref.codec, at + 12);
    bytes.write(ref.sha256, at + 16, "hex");
    at += ENTRY_BYTES;
  }
  return bytes;
}

/** @throws AppError `store_corrupt`. */
export function decodeTable(bytes: Buffer): Table {
  const bad = (why: string) => new AppError("store_corrupt", `a table of chunks is not valid: ${why}`);
  if (bytes.length < HEADER_BYTES || !bytes.subarray(0, 4).equals(MAGIC)) throw bad("it does not begin as one");
  const format = bytes.readUInt16LE(4);
  if (format !== FORMAT) throw bad(`it has format ${format}, and only ${FORMAT} is known`);
  const packCount = bytes.readUInt16LE(6);
  const count = bytes.readUInt16LE(8);
  const first = HEADER_BYTES + packCount * PACK_ID_BYTES;
  if (bytes.length !== first + count * ENTRY_BYTES) throw bad(`it has ${bytes.length} bytes`);
  const table = new Map<number, RecordRef>();
  let last = -1;
  for (let at = first; at < bytes.length; at += ENTRY_BYTES) {
    const place = bytes.readUInt16LE(at);
    const number = bytes.readUInt16LE(at + 2);
    const storedBytes = bytes.readUInt32LE(at + 8);
    const codec = bytes.readUInt8(at + 12);
    if (place <= last || place >= SEGMENT_CHUNKS) throw bad("its places are not in order");
    if (number >= packCount) throw bad("it names a pack that it does not list");
    if (storedBytes > CHUNK_BYTES) throw bad("a chunk is too large");
    if (codec !== CODEC.stored && codec !== CODEC.zstd) throw bad(`codec ${codec} is not known`);
    const pack = HEADER_BYTES + number * PACK_ID_BYTES;
    table.set(place, {
      pack: bytes.toString("hex", pack, pack + PACK_ID_BYTES),
      offset: bytes.readUInt32LE(at + 4),
      storedBytes,
      plainBytes: CHUNK_BYTES,
      codec: codec satisfies Codec,
      sha256: bytes.toString("hex", at + 16, at + 48),
    });
    last = place;
  }
  return table;
}
