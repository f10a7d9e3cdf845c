/** The manifest of a version: its tables, by segment. @see docs/formats/workspace-store.md */
import { AppError } from "@mags/core";
import { z } from "zod";
import type { VersionName } from "../keys.ts";
import { PACK_ID } from "../keys.ts";
import { decodeJsonObject, FOREIGN } from "./json-object.ts";
import { CHUNK_BYTES, CODEC, type RecordRef, SEGMENT_CHUNKS, sha256Of } from "./records.ts";
import { MAX_TABLE_BYTES } from "./table.ts";

const FORMAT = 1;
/** No manifest is larger. */
export const MAX_MANIFEST_BYTES = 64 << 20;

export const SyncReason = z.enum([
  "interval",
  "stop",
  "sleep",
  "request",
  "promotion",
  "fork",
  "restore",
  "compaction",
]);
export type SyncReason = z.infer<typeof SyncReason>;

export const BaseImage = z.object({ name: z.string(), digest: z.string() });
/** The image below the overlay that a disk belongs to. */
export type BaseImage = Readonly<z.infer<typeof BaseImage>>;

const Count = z.int().nonnegative();
const Sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const CodecNumber = z.union([z.literal(CODEC.stored), z.literal(CODEC.zstd)]);
const PackRow = z.tuple([z.string().regex(PACK_ID), Count, Count, Count]);
const TableRow = z.tuple([Count, Count, Count, Count, CodecNumber, Count.max(MAX_TABLE_BYTES), Sha256]);

const Wire = z.object({
  magic: z.literal("mags-version"),
  format: z.literal(FORMAT),
  account: z.uuid(),
  workspace: z.uuid(),
  seq: z.int().positive(),
  parent: z.object({ seq: z.int().positive(), sha256: Sha256, workspace: z.uuid().optional() }).nullable(),
  writer: z.string(),
  generation: z.int().positive(),
  created_at: z.iso.datetime(),
  reason: SyncReason,
  image: BaseImage,
  chunk_bytes: z.literal(CHUNK_BYTES),
  segment_chunks: z.literal(SEGMENT_CHUNKS),
  disk_bytes: Count.multipleOf(CHUNK_BYTES),
  data_bytes: Count,
  stored_bytes: Count,
  packs: z.array(PackRow),
  tables: z.array(TableRow),
});
type Wire = z.infer<typeof Wire>;

/** How much of a pack one version uses. */
export interface PackUse {
  readonly sizeBytes: number;
  readonly records: number;
  readonly storedBytes: number;
}

export interface ParentVersion extends VersionName {
  /** Where the parent is one of another workspace: a fork's base. */
  readonly workspace?: string | undefined;
}

export interface Manifest {
  readonly account: string;
  readonly workspace: string;
  readonly seq: number;
  readonly parent: ParentVersion | null;
  /** Holder of the lease that it was written under. */
  readonly writer: string;
  readonly generation: number;
  readonly createdAt: Date;
  readonly reason: SyncReason;
  readonly image: BaseImage;
  readonly diskBytes: number;
  readonly dataBytes: number;
  readonly storedBytes: number;
  readonly packs: ReadonlyMap<string, PackUse>;
  /** By segment: bytes `segment × 32 MiB` on. A segment that is missing is zeros. */
  readonly tables: ReadonlyMap<number, RecordRef>;
}

export function encodeManifest(manifest: Manifest): Buffer {
  const numberOf = new Map([...manifest.packs.keys()].map((pack, number) => [pack, number]));
  const packNumber = (pack: string) => {
    const number = numberOf.get(pack);
    if (number === undefined) throw new Error(`a table lies in pack ${pack}, which the manifest does not list`);
    return number;
  };
  const wire: Wire = {
    magic: "mags-version",
    format: FORMAT,
    account: manifest.account,
    workspace: manifest.workspace,
    seq: manifest.seq,
    parent: manifest.parent,
    writer: manifest.writer,
    generation: manifest.generation,
    created_at: manifest.createdAt.toISOString(),
    reason: manifest.reason,
    image: manifest.image,
    chunk_bytes: CHUNK_BYTES,
    segment_chunks: SEGMENT_CHUNKS,
    disk_bytes: manifest.diskBytes,
    data_bytes: manifest.dataBytes,
    stored_bytes: manifest.storedBytes,
    packs: [...manifest.packs].map(([id, { sizeBytes, records, storedBytes }]) => [
      id,
      sizeBytes,
      records,
      storedBytes,
    ]),
    tables: [...manifest.tables]
      .toSorted(([a], [b]) => a - b)
      .map(([segment, { pack, offset, storedBytes, codec, plainBytes, sha256 }]) => [
        segment,
        packNumber(pack),
        offset,
        storedBytes,
        codec,
        plainBytes,
        sha256,
      ]),
  };
  return Buffer.from(JSON.stringify(wire));
}

/**
 * @param name  The version that was asked for: its digest must be that of the bytes.
 * @throws AppError `store_corrupt`; foreign when it is not damaged, as its digest is right.
 */
export function decodeManifest(bytes: Buffer, name: VersionName): Manifest {
  const bad = (why: string, details: Record<string, unknown> = FOREIGN) =>
    new AppError("store_corrupt", `the manifest of version ${name.seq} is not valid: ${why}`, { details });
  if (sha256Of(bytes) !== name.sha256) throw bad("its bytes have another digest than its name", {});
  const wire: Wire = decodeJsonObject(bytes, Wire, { maxBytes: MAX_MANIFEST_BYTES, format: FORMAT, bad });
  if (wire.seq !== name.seq) throw bad(`it is of version ${wire.seq}`);
  const tables = new Map<number, RecordRef>();
  for (const [segment, number, offset, storedBytes, codec, plainBytes, sha256] of wire.tables) {
    const pack = wire.packs[number]?.[0];
    if (pack === undefined) throw bad("a table lies in a pack that it does not list");
    if (segment * SEGMENT_CHUNKS * CHUNK_BYTES >= wire.disk_bytes) throw bad("a table lies beyond the disk");
    if (tables.has(segment)) throw bad(`segment ${segment} has two tables`);
    if (storedBytes > MAX_TABLE_BYTES) throw bad("a table is too large");
    tables.set(segment, { pack, offset, storedBytes, plainBytes, codec, sha256 });
  }
  return {
    account: wire.account,
    workspace: wire.workspace,
    seq: wire.seq,
    parent: wire.parent,
    writer: wire.writer,
    generation: wire.generation,
    createdAt: new Date(wire.created_at),
    reason: wire.reason,
    image: wire.image,
    diskBytes: wire.disk_bytes,
    dataBytes: wire.data_bytes,
    storedBytes: wire.stored_bytes,
    packs: new Map(
      wire.packs.map(([id, sizeBytes, records, stored]) => [id, { sizeBytes, records, storedBytes: stored }]),
    ),
    tables,
  };
}
