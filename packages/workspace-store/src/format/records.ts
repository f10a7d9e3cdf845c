/**
 * A record of a pack: a chunk of a disk or a table of chunks, named by the SHA-256 of its plain bytes.
 * @see docs/formats/workspace-store.md
 */
import { createHash } from "node:crypto";
import { constants, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { AppError } from "@mags/core";

/** Bytes of a chunk. A disk's size is a multiple of it. */
export const CHUNK_BYTES = 65_536;
/** Chunks of a segment: what one table covers, 32 MiB of a disk. */
export const SEGMENT_CHUNKS = 512;

export const CODEC = { stored: 0, zstd: 1 } as const;
export type Codec = (typeof CODEC)[keyof typeof CODEC];

/** Where a record lies, and what it must be. */
export interface RecordRef {
  /** Id of its pack: 32 lowercase hex digits. */
  readonly pack: string;
  readonly offset: number;
  readonly storedBytes: number;
  readonly plainBytes: number;
  readonly codec: Codec;
  /** Of the plain bytes: 64 lowercase hex digits. */
  readonly sha256: string;
}

export interface EncodedRecord {
  readonly stored: Uint8Array;
  readonly codec: Codec;
}

/** Bytes that compress by less than a sixteenth are kept as they are: they are read faster. */
const WORTH_COMPRESSING = 15 / 16;

export const isWorthIt = (compressedBytes: number, plainBytes: number) =>
  compressedBytes < plainBytes * WORTH_COMPRESSING;

export function sha256Of(plain: Uint8Array): string {
  return createHash("sha256").update(plain).digest("hex");
}

/** @returns Bytes of their own: `plain` may change afterwards. */
export function encodeRecord(plain: Uint8Array): EncodedRecord {
  const compressed = zstdCompressSync(plain, { params: { [constants.ZSTD_c_compressionLevel]: 1 } });
  return isWorthIt(compressed.length, plain.length)
    ? { stored: compressed, codec: CODEC.zstd }
    : { stored: Uint8Array.from(plain), codec: CODEC.stored };
}

/**
 * The plain bytes of a record, proven by its digest.
 * @throws AppError `chunk_corrupt`.
 */
export function decodeRecord(stored: Buffer, ref: RecordRef): Buffer {
  const plain = plainOf(stored, ref);
  if (plain.length !== ref.plainBytes || sha256Of(plain) !== ref.sha256)
    throw corrupt(ref, "its bytes have another digest");
  return plain;
}

function plainOf(stored: Buffer, ref: RecordRef): Buffer {
  if (stored.length !== ref.storedBytes) throw corrupt(ref, `${stored.length} bytes came of ${ref.storedBytes}`);
  if (ref.codec === CODEC.stored) return stored;
  try {
    return zstdDecompressSync(stored, { maxOutputLength: ref.plainBytes });
  } catch (error) {
    throw corrupt(ref, "it cannot be decompressed", error);
  }
}

export function corrupt({ pack, offset, sha256 }: RecordRef, why: string, cause?: unknown): AppError {
  return new AppError("chunk_corrupt", `record ${sha256} at byte ${offset} of pack ${pack} is damaged: ${why}`, {
    cause,
    details: { pack },
  });
}

/** True when all bytes are zero: such a chunk is not stored. */
export function isZero(bytes: Uint8Array): boolean {
  return ZEROS.compare(bytes, 0, bytes.length, 0, bytes.length) === 0;
}

const ZEROS = Buffer.alloc(CHUNK_BYTES);
