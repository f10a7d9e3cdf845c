/** What is left of a version some of whose tables are damaged or lost, or whose manifest does not say what they use. */
import { isDeepStrictEqual } from "node:util";
import { isAppError } from "@mags/core";
import { forEach } from "./for-each.ts";
import { CHUNK_BYTES, type RecordRef } from "./format/records.ts";
import { createPackUses } from "./pack-uses.ts";
import type { RecordSource } from "./record-source.ts";
import { createVersionReader, type VersionReader } from "./version-reader.ts";

/** Tables that are read at a time. */
const AT_ONCE = 8;

export interface ReadableTables {
  /**
   * The version, under the same name, with its uses counted anew, as if it had only zeros in segments of lost tables: a disk
   * that all of is compared with it has these segments anew.
   */
  readonly reader: VersionReader;
  /** Tables that cannot be read, or name packs that the manifest does not. */
  readonly lost: number;
  /** The version is as its manifest says. */
  readonly isWhole: boolean;
}

/** Reads all tables of a version. */
export async function withReadableTables(
  { name, manifest, table }: VersionReader,
  { records, signal }: { readonly records: RecordSource; readonly signal: AbortSignal },
): Promise<ReadableTables> {
  const tables = new Map<number, RecordRef>();
  const uses = createPackUses(new Map());
  let chunks = 0;
  await forEach(manifest.tables, { width: AT_ONCE, signal }, async ([segment, ref], { signal }) => {
    const read = await table(segment, { signal }).catch((error: unknown) => {
      if (!isAppError(error, "chunk_corrupt")) throw error;
      return undefined;
    });
    if (!read || [ref, ...read.values()].some(({ pack }) => !manifest.packs.has(pack))) return;
    tables.set(segment, ref);
    uses.add(ref);
    for (const chunk of read.values()) uses.add(chunk);
    chunks += read.size;
  });
  const packs = uses.finish(new Map([...manifest.packs].map(([id, { sizeBytes }]) => [id, sizeBytes])));
  let storedBytes = 0;
  for (const use of packs.values()) storedBytes += use.storedBytes;
  const lost = manifest.tables.size - tables.size;
  return {
    reader: createVersionReader({
      ...{ name, records },
      manifest: { ...manifest, tables, packs, storedBytes, dataBytes: chunks * CHUNK_BYTES },
    }),
    lost,
    isWhole: lost === 0 && isDeepStrictEqual(packs, manifest.packs),
  };
}
