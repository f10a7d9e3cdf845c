/** Writes a version as a raw disk image: sparse, zeros are left out. */
import type { FileHandle } from "node:fs/promises";
import { CHUNK_BYTES, SEGMENT_CHUNKS } from "./format/records.ts";
import type { RecordSource } from "./record-source.ts";
import type { VersionReader } from "./version-reader.ts";

/** Chunks that are read together: 4 MiB. */
const BATCH = 64;

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
  file: FileHandle,
  { records, signal, onProgress }: ExportOptions,
): Promise<void> {
  const { diskBytes, dataBytes, tables } = version.manifest;
  await file.truncate(diskBytes);
  let written = 0;
  for (const segment of [...tables.keys()].toSorted((a, b) => a - b)) {
    const chunks = [...(await version.table(segment, { signal }))];
    for (let from = 0; from < chunks.length; from += BATCH) {
      const batch = chunks.slice(from, from + BATCH);
      const plain = await records.getAll(
        batch.map(([, ref]) => ref),
        { signal },
      );
      for (const [i, [place]] of batch.entries()) {
        const at = (segment * SEGMENT_CHUNKS + place) * CHUNK_BYTES;
        const bytes = plain[i];
        if (bytes) await file.write(bytes, 0, bytes.length, at);
      }
      written += batch.length * CHUNK_BYTES;
      onProgress?.(written, dataBytes);
    }
  }
}
