import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { RecordRef } from "./format/records.ts";
import { createPackUses } from "./pack-uses.ts";

const ref = (pack: string, storedBytes: number): RecordRef => ({
  ...{ pack, offset: 16, storedBytes, plainBytes: 65_536, codec: 0, sha256: "0".repeat(64) },
});

describe("createPackUses", () => {
  it("leaves out what is not used any more", () => {
    const uses = createPackUses(
      new Map([
        ["a", { sizeBytes: 100, records: 2, storedBytes: 30 }],
        ["b", { sizeBytes: 100, records: 1, storedBytes: 20 }],
      ]),
    );
    uses.drop(ref("a", 10));
    uses.drop(ref("b", 20));
    uses.add(ref("c", 7));
    assert.deepEqual(
      [...uses.finish(new Map([["c", 50]]))],
      [
        ["a", { sizeBytes: 100, records: 1, storedBytes: 20 }],
        ["c", { sizeBytes: 50, records: 1, storedBytes: 7 }],
      ],
    );
  });

  it("leaves out no pack that is used because the parent counts too few of it, or does not list it", () => {
    for (const parent of [new Map([["a", { sizeBytes: 100, records: 1, storedBytes: 30 }]]), new Map()]) {
      const uses = createPackUses(parent);
      uses.drop(ref("a", 10));
      assert.throws(() => uses.finish(new Map()), { code: "store_corrupt", message: /of pack a$/ });
    }
    const uses = createPackUses(new Map());
    uses.add(ref("b", 10));
    assert.throws(() => uses.finish(new Map()), { code: "store_corrupt", message: /of pack b$/ });
  });
});
