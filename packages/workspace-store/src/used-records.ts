/** Which records versions use. A table that they share is read once, whatever the number of versions. */
import { AppError } from "@mags/core";
import type { Manifest, PackUse } from "./format/manifest.ts";
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
   * Counts what a version uses, and nothing of it when a table cannot be read. May run concurrently.
   * @param user  Key of its manifest.
   * @throws AppError `store_corrupt`, `chunk_corrupt` for a table that is damaged or lost; `store_corrupt` when the manifest
   *   says something else of what is used than the tables.
   */
  add(manifest: Manifest, options: { readonly user: string; readonly signal: AbortSignal }): Promise<void>;
}

/** Tables that are read together: at most 2 MiB. */
const BATCH = 64;

export function createUsedRecords(records: RecordSource): UsedRecords {
  const packs = new Map<string, { readonly records: Map<number, RecordRef>; readonly users: Set<string> }>();
  /** What a table uses of packs, by its place. One of the same bytes elsewhere is another that has to be whole. */
  const usesOf = new Map<string, Uses>();
  const placeOf = ({ pack, offset, sha256 }: RecordRef) => `${pack} ${offset} ${sha256}`;

  function inPack(id: string) {
    const pack = packs.get(id) ?? { records: new Map<number, RecordRef>(), users: new Set<string>() };
    packs.set(id, pack);
    return pack;
  }

  return {
    packs,
    async add({ seq, tables, packs: listed }, { user, signal }) {
      const refs = [...tables.values()];
      const fresh = refs.filter((ref) => !usesOf.has(placeOf(ref)));
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
        usesOf.set(placeOf(table), sumOf([table, ...chunks]));
      }
      const all = new Map<string, Use>();
      for (const ref of refs) for (const [pack, use] of usesOf.get(placeOf(ref)) ?? []) more(all, pack, use);
      for (const pack of all.keys()) inPack(pack).users.add(user);
      for (const pack of new Set([...listed.keys(), ...all.keys()])) {
        const [says, is] = [listed.get(pack) ?? NOTHING, all.get(pack) ?? NOTHING];
        if (says.records !== is.records || says.storedBytes !== is.storedBytes)
          throw new AppError(
            "store_corrupt",
            `version ${seq} lists pack ${pack} with ${says.records} records of ${says.storedBytes} bytes, and its tables name ${is.records} of ${is.storedBytes}`,
          );
      }
    },
  };
}

type Use = Pick<PackUse, "records" | "storedBytes">;
/** By pack. */
type Uses = ReadonlyMap<string, Use>;
const NOTHING: Use = { records: 0, storedBytes: 0 };

function more(uses: Map<string, Use>, pack: string, { records, storedBytes }: Use): void {
  const use = uses.get(pack) ?? NOTHING;
  uses.set(pack, { records: use.records + records, storedBytes: use.storedBytes + storedBytes });
}

function sumOf(refs: readonly RecordRef[]): Uses {
  const uses = new Map<string, Use>();
  for (const { pack, storedBytes } of refs) more(uses, pack, { records: 1, storedBytes });
  return uses;
}
