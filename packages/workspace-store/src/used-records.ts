/** Which records versions use. A table that they share is read once, whatever the number of versions. */
import type { Manifest } from "./format/manifest.ts";
import type { RecordRef } from "./format/records.ts";
import { decodeTable } from "./format/table.ts";
import type { RecordSource } from "./record-source.ts";

export interface PackInUse {
  readonly records: ReadonlyMap<number, RecordRef>;
  /** Keys of manifests that name it. */
  readonly users: ReadonlySet<string>;
}

export interface UsedRecords {
  /** By their ids. */
  readonly packs: ReadonlyMap<string, PackInUse>;
  /**
   * Counts what a version uses, and nothing of it when it fails. May run concurrently.
   * @param user  Key of its manifest.
   * @throws AppError `store_corrupt`, `chunk_corrupt` for a table that is damaged or lost.
   */
  add(manifest: Manifest, options: { readonly user: string; readonly signal: AbortSignal }): Promise<void>;
}

/** Tables that are read together: at most 2 MiB. */
const BATCH = 64;

export function createUsedRecords(records: RecordSource): UsedRecords {
  const packs = new Map<string, { readonly records: Map<number, RecordRef>; readonly users: Set<string> }>();
  /** Packs that a table names, by its place. One of the same bytes elsewhere is another that has to be whole. */
  const namedBy = new Map<string, readonly string[]>();
  const placeOf = ({ pack, offset, sha256 }: RecordRef) => `${pack} ${offset} ${sha256}`;

  function inPack(id: string) {
    const pack = packs.get(id) ?? { records: new Map<number, RecordRef>(), users: new Set<string>() };
    packs.set(id, pack);
    return pack;
  }

  return {
    packs,
    async add({ tables }, { user, signal }) {
      const refs = [...tables.values()];
      const fresh = refs.filter((ref) => !namedBy.has(placeOf(ref)));
      const read: (readonly [RecordRef, readonly RecordRef[]])[] = [];
      for (let from = 0; from < fresh.length; from += BATCH) {
        const batch = fresh.slice(from, from + BATCH);
        for (const [i, plain] of (await records.getAll(batch, { signal })).entries()) {
          const table = batch[i];
          if (table) read.push([table, [...decodeTable(plain).values()]]);
        }
      }
      for (const [table, chunks] of read) {
        for (const ref of [table, ...chunks]) inPack(ref.pack).records.set(ref.offset, ref);
        namedBy.set(placeOf(table), [...new Set(chunks.map(({ pack }) => pack))]);
      }
      for (const ref of refs)
        for (const pack of [ref.pack, ...(namedBy.get(placeOf(ref)) ?? [])]) inPack(pack).users.add(user);
    },
  };
}
