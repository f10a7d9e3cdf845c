/**
 * Finds the frames of zstd data by their headers alone (RFC 8878, 3.1): Node's decoder ends with the first frame and
 * drops the rest without a word, and tools write many (`pzstd`, `zstd:chunked` layers, `cat a.zst b.zst`).
 */

import { badArchive } from "@mags/tar";
import { type ByteSource, partOf, readAhead } from "../tar/byte-source.ts";

const DATA_MAGIC = 0xfd2fb528;
/** The lowest four bits are free. */
const SKIPPABLE_MAGIC = 0x184d2a50;
const MAGIC_BYTES = 4;
const BLOCK_HEADER_BYTES = 3;
const CHECKSUM_BYTES = 4;
const READ_AHEAD_BYTES = 16 * 1024;
const DICTIONARY_ID_BYTES = [0, 1, 2, 4] as const;
const CONTENT_SIZE_BYTES = [0, 2, 4, 8] as const;
const RLE = 1;

/** The frames with data, whole and in order. @throws AppError `validation_failed` when there is anything else. */
export async function* zstdFrames(source: ByteSource): AsyncGenerator<ByteSource> {
  const read = readAhead(source, READ_AHEAD_BYTES);
  async function field(offset: number, length: number): Promise<number> {
    const bytes = await read(offset, length);
    if (bytes.length < length) throw cutShort();
    return bytes.readUIntLE(0, length);
  }
  async function endOfData(start: number): Promise<number> {
    let at = start + MAGIC_BYTES;
    const descriptor = await field(at, 1);
    const hasChecksum = (descriptor & 0x04) !== 0;
    at += headerBytes(descriptor);
    for (let isLast = false; !isLast; ) {
      const block = await field(at, BLOCK_HEADER_BYTES);
      isLast = (block & 1) === 1;
      const type = (block >> 1) & 3;
      at += BLOCK_HEADER_BYTES + (type === RLE ? 1 : block >> 3);
    }
    return at + (hasChecksum ? CHECKSUM_BYTES : 0);
  }

  for (let at = 0; at < source.length; ) {
    const start = at;
    const magic = await field(at, Math.min(MAGIC_BYTES, source.length - at));
    const isData = magic === DATA_MAGIC;
    if (isData) at = await endOfData(at);
    else if (magic >= SKIPPABLE_MAGIC && magic <= SKIPPABLE_MAGIC + 15)
      at += MAGIC_BYTES + 4 + (await field(at + MAGIC_BYTES, 4));
    else throw badArchive(`its zstd data are damaged or cut short: there is no frame at byte ${at}`);
    if (at > source.length) throw cutShort();
    if (isData) yield partOf(source, { offset: start, length: at - start });
  }
}

/** Of the frame header behind the magic number. */
function headerBytes(descriptor: number): number {
  const isSingleSegment = (descriptor & 0x20) !== 0;
  const contentSize = descriptor >> 6;
  return (
    1 +
    (isSingleSegment ? 0 : 1) + // the window's size
    (DICTIONARY_ID_BYTES[descriptor & 3] ?? 0) +
    (contentSize === 0 && isSingleSegment ? 1 : (CONTENT_SIZE_BYTES[contentSize] ?? 0))
  );
}

function cutShort() {
  return badArchive("its zstd data are damaged or cut short: the last frame has no end");
}
