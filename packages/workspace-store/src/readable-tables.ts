/** What is left of a version some of whose tables are damaged or lost. */
import { isAppError } from "@mags/core";
import { forEach } from "./for-each.ts";
import { CHUNK_BYTES, type RecordRef } from "./format/records.ts";
import { createPackUses } from "./pack-uses.ts";
import type { RecordSource } from "./record-source.ts";
import { createVersionReader, type VersionReader } from "./version-reader.ts";

/** Tables that are read at a time. */
const AT_ONCE = 8;

/**
 * Reads all tables of a version.
 * @returns the version as if it had only zeros in segments whose tables cannot be read, under the same name: a disk that all
 *   of is compared with it has these segments anew. `lost` is their number.
 */
export async function withReadableTables(
  { name, manifest, table }: VersionReader,
  { records, signal }: { readonly records: RecordSource; readonly signal: AbortSignal },
): Promise<{ readonly reader: VersionReader; readonly lost: number }> {
  const tables = new Map<number, RecordRef>();
  const uses = createPackUses(new Map());
  let chunks = 0;
  await forEach(manifest.tables, { width: AT_ONCE, signal }, async ([segment, ref], { signal }) => {
    const read = await table(segment, { signal }).catch((error: unknown) => {
      if (!isAppError(error, "chunk_corrupt")) throw error;
      return undefined;
    });
    if (!read) return;
    tables.set(segment, ref);
    uses.add(ref);
    for (const chunk of read.values()) uses.add(chunk);
    chunks += read.size;
  });
  const packs = uses.finish(new Map([...manifest.packs].map(([id, { sizeBytes }]) => [id, sizeBytes])));
  let storedBytes = 0;
  for (const use of packs.values()) storedBytes += use.storedBytes;
  return {
    reader: createVersionReader({
      ...{ name, records },
      manifest: { ...manifest, tables, packs, storedBytes, dataBytes: chunks * CHUNK_BYTES },
    }),
    lost: manifest.tables.size - tables.size,
  };
}
