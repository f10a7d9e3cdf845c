/** Writes a version as a raw disk image: sparse, zeros are left out. */
import type { FileHandle } from "node:fs/promises";
import { writeWhole } from "@mags/core";
import { CHUNK_BYTES, SEGMENT_CHUNKS } from "./format/records.ts";
import type { RecordSource } from "./record-source.ts";
import type { VersionReader } from "./version-reader.ts";

/** Chunks that are read together: 4 MiB. */
const BATCH = 64;
/** Batches that are asked for at a time. */
const READS = 4;

export interface ExportOptions {
  readonly records: RecordSource;
  readonly signal: AbortSignal;
  /** Called after each batch, with the bytes of chunks that are written and those there are. */
  readonly onProgress?: (written: number, all: number) => void;
}

/**
 * @param file  Empty and open for writing.
 * @throws AppError `chunk_corrupt`: what is in the file then is not the version.
 */
export async function exportDisk(
  version: VersionReader,
  file: Pick<FileHandle, "truncate" | "write">,
  { records, signal, onProgress }: ExportOptions,
): Promise<void> {
  const { diskBytes, dataBytes, tables } = version.manifest;
  await file.truncate(diskBytes);
  let written = 0;
  const reading: Batch[] = [];

  async function writeNext(): Promise<void> {
    const batch = reading.shift();
    for (const [i, bytes] of ((await batch?.plain) ?? []).entries())
      await writeWhole(file, bytes, { position: (batch?.chunks[i] ?? 0) * CHUNK_BYTES });
    written += (batch?.chunks.length ?? 0) * CHUNK_BYTES;
    onProgress?.(written, dataBytes);
  }

  for (const segment of [...tables.keys()].toSorted((a, b) => a - b)) {
    const places = [...(await version.table(segment, { signal }))];
    for (let from = 0; from < places.length; from += BATCH) {
      const batch = places.slice(from, from + BATCH);
      const refs = batch.map(([, ref]) => ref);
      const plain = records.getAll(refs, { signal });
      plain.catch(() => {}); // it is awaited in its turn
      reading.push({ chunks: batch.map(([place]) => segment * SEGMENT_CHUNKS + place), plain });
      if (reading.length >= READS) await writeNext();
    }
  }
  while (reading.length > 0) await writeNext();
}

interface Batch {
  /** Numbers of the chunks. */
  readonly chunks: readonly number[];
  readonly plain: Promise<readonly Buffer[]>;
}
