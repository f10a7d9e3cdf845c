/**
 * Reads the table of contents of a tar archive that nobody vouches for: every size is checked against what is really
 * there, and what is kept in memory is bounded. File contents are not read; an entry says where they lie.
 */
import { BLOCK_BYTES, badArchive, createEntryReader, shown, type TarHeader } from "@mags/tar";
import { type ByteSource, readAhead } from "./byte-source.ts";

export interface TarEntry extends TarHeader {
  /** Where a file's content lies in the archive. */
  readonly offset: number;
}

export interface TarLimits {
  /** Called for each entry with the bytes of its names and attributes; throws when there were too many. */
  count(metadataBytes: number): void;
}

const READ_AHEAD_BYTES = 64 * 1024;

/** @throws AppError `validation_failed` that says what is wrong with the archive, and where. */
export async function* readTar(source: ByteSource, limits: TarLimits): AsyncGenerator<TarEntry> {
  const read = readAhead(source, READ_AHEAD_BYTES);
  const reader = createEntryReader();
  for (let at = 0; ; ) {
    const block = await read(at, BLOCK_BYTES);
    if (block.length < BLOCK_BYTES)
      throw badArchive(`it is cut short: it ends at byte ${source.length} without the blocks that end a tar archive`);
    const header = reader.header(block, at);
    if (header.kind === "end") return;
    const size = header.kind === "entry" ? header.entry.size : header.size;
    const offset = at + BLOCK_BYTES;
    at = offset + Math.ceil(size / BLOCK_BYTES) * BLOCK_BYTES;
    const isShort = offset + size > source.length;
    if (header.kind === "extension") {
      if (isShort) throw badArchive("it is cut short in the middle of an extended header");
      reader.extension(await source.read(offset, size), offset);
      limits.count(size);
      continue;
    }
    const { entry } = header;
    if (isShort) throw badArchive(`it is cut short in the middle of ${shown(entry.path)}`);
    limits.count(entry.path.length + entry.linkPath.length);
    yield { ...entry, offset };
  }
}
