/** Counts how much of each pack a version uses, while tables are exchanged for others. */
import { AppError } from "@mags/core";
import type { PackUse } from "./format/manifest.ts";
import type { RecordRef } from "./format/records.ts";

export interface PackUses {
  /** A record is used once more. */
  add(ref: RecordRef): void;
  /** A record is used once less. */
  drop(ref: RecordRef): void;
  /**
   * @param sizes  Of packs that the parent does not use.
   * @throws AppError `store_corrupt` when the parent's uses are not what its tables name: a pack that is used would be left out.
   */
  finish(sizes: ReadonlyMap<string, number>): ReadonlyMap<string, PackUse>;
}

/** @param parent  Uses of the version that the new one begins as. */
export function createPackUses(parent: ReadonlyMap<string, PackUse>): PackUses {
  const uses = new Map<string, { records: number; storedBytes: number }>();
  for (const [pack, { records, storedBytes }] of parent) uses.set(pack, { records, storedBytes });

  function change({ pack, storedBytes }: RecordRef, by: 1 | -1): void {
    const use = uses.get(pack) ?? { records: 0, storedBytes: 0 };
    use.records += by;
    use.storedBytes += by * storedBytes;
    uses.set(pack, use);
  }

  return {
    add: (ref) => change(ref, 1),
    drop: (ref) => change(ref, -1),
    finish(sizes) {
      const used = new Map<string, PackUse>();
      for (const [pack, { records, storedBytes }] of uses) {
        const sizeBytes = sizes.get(pack) ?? parent.get(pack)?.sizeBytes;
        if (records === 0 && storedBytes === 0) continue;
        if (records <= 0 || sizeBytes === undefined)
          throw new AppError("store_corrupt", `the version before does not list rightly what it uses of pack ${pack}`);
        used.set(pack, { sizeBytes, records, storedBytes });
      }
      return used;
    },
  };
}
