import assert from "node:assert/strict";
import { createHash, randomBytes, randomUUID } from "node:crypto";
import { describe, it } from "node:test";
import { isAppError } from "@mags/core";
import fc from "fast-check";
import { decodeHead, encodeHead, type HeadDraft } from "./head.ts";
import { decodeManifest, encodeManifest, type Manifest } from "./manifest.ts";
import { createPackBuilder, KIND, readPackIndex } from "./pack.ts";
import { CHUNK_BYTES, CODEC, decodeRecord, encodeRecord, isZero, type RecordRef, sha256Of } from "./records.ts";
import { decodeTable, encodeTable } from "./table.ts";

const refOf = (number: number, plainBytes = CHUNK_BYTES): RecordRef => ({
  pack: createHash("md5")
    .update(String(number % 7))
    .digest("hex"),
  offset: 16 + number,
  storedBytes: 1 + (number % CHUNK_BYTES),
  plainBytes,
  codec: number % 2 === 0 ? CODEC.stored : CODEC.zstd,
  sha256: createHash("sha256").update(String(number)).digest("hex"),
});

const table = new Map([0, 3, 17, 511].map((place) => [place, refOf(place)]));

const manifest: Manifest = {
  account: randomUUID(),
  workspace: randomUUID(),
  seq: 7,
  parent: { seq: 6, sha256: "ab".repeat(32) },
  writer: "node-a",
  generation: 3,
  createdAt: new Date("2026-01-02T03:04:05.678Z"),
  reason: "interval",
  image: { name: "standard", digest: "cd".repeat(32) },
  diskBytes: 100 * 512 * CHUNK_BYTES,
  dataBytes: 4 * CHUNK_BYTES,
  storedBytes: 1234,
  packs: new Map(
    [0, 1, 2, 3].map((n) => [refOf(n).pack, { sizeBytes: 1000 + n, records: n + 1, storedBytes: 10 * n }]),
  ),
  tables: new Map([0, 2, 99].map((segment) => [segment, refOf(segment % 4, 12 + 64 * (segment + 1))])),
};

const draft: HeadDraft = {
  account: manifest.account,
  workspace: manifest.workspace,
  name: "my-project",
  state: "live",
  generation: 3,
  lease: { holder: "node-a", expires_at: "2026-01-02T03:04:05.678Z" },
  forked_from: null,
  versions: [],
};

/** Bytes with some of them exchanged, cut or longer. */
const damaged = (bytes: Buffer) =>
  fc.oneof(
    fc
      .array(fc.tuple(fc.nat({ max: bytes.length - 1 }), fc.integer({ min: 1, max: 255 })), {
        minLength: 1,
        maxLength: 4,
      })
      .map((flips) => {
        const copy = Buffer.from(bytes);
        for (const [at, by] of flips) copy[at] = (copy[at] ?? 0) ^ by;
        return copy;
      }),
    fc.nat({ max: bytes.length - 1 }).map((end) => bytes.subarray(0, end)),
    fc.uint8Array({ minLength: 1, maxLength: 100 }).map((more) => Buffer.concat([bytes, more])),
    fc.uint8Array({ maxLength: 300 }).map((other) => Buffer.from(other)),
  );

function refuses(read: () => unknown, codes: readonly string[]): void {
  try {
    read();
  } catch (error) {
    assert.ok(isAppError(error) && codes.includes(error.code), String(error));
    return;
  }
}

describe("a record", () => {
  it("comes back as it was, compressed or not", () => {
    for (const plain of [Buffer.alloc(CHUNK_BYTES, 7), randomBytes(CHUNK_BYTES), randomBytes(100)]) {
      const { stored, codec } = encodeRecord(plain);
      const ref = { ...refOf(0, plain.length), storedBytes: stored.length, codec, sha256: sha256Of(plain) };
      assert.deepEqual(decodeRecord(Buffer.from(stored), ref), plain);
    }
  });

  it("that was damaged is an error, never other bytes", () => {
    const text = Buffer.alloc(CHUNK_BYTES, "some text that compresses well. ");
    const random = randomBytes(CHUNK_BYTES);
    for (const plain of [text, random]) {
      const { stored, codec } = encodeRecord(plain);
      const ref = { ...refOf(0), storedBytes: stored.length, codec, sha256: sha256Of(plain) };
      fc.assert(
        fc.property(damaged(Buffer.from(stored)), (bytes) => {
          try {
            // A frame has bits that mean nothing: what it says must still be the same.
            assert.deepEqual(decodeRecord(bytes, ref), plain);
          } catch (error) {
            assert.ok(isAppError(error, "chunk_corrupt"), String(error));
          }
        }),
        { numRuns: 300 },
      );
    }
  });

  it("that says to be larger than it may be is not unpacked", () => {
    const { stored, codec } = encodeRecord(Buffer.alloc(64 << 20));
    const ref = { ...refOf(0), storedBytes: stored.length, codec, sha256: sha256Of(Buffer.alloc(CHUNK_BYTES)) };
    assert.throws(() => decodeRecord(Buffer.from(stored), ref), { code: "chunk_corrupt", message: /decompressed/ });
  });
});

describe("isZero", () => {
  it("knows chunks of zeros from all others", () => {
    assert.ok(isZero(Buffer.alloc(CHUNK_BYTES)));
    for (const at of [0, 1, 4095, 65_535]) {
      const bytes = Buffer.alloc(CHUNK_BYTES);
      bytes[at] = 1;
      assert.equal(isZero(bytes), false);
    }
  });
});

describe("a pack", () => {
  const build = () => {
    const builder = createPackBuilder();
    const plains = [Buffer.alloc(CHUNK_BYTES, 1), randomBytes(CHUNK_BYTES), Buffer.from("table")];
    const entries = plains.map((plain, i) => {
      const { stored, codec } = encodeRecord(plain);
      const kind = i === 2 ? KIND.table : KIND.chunk;
      return builder.add({ kind, codec, plainBytes: plain.length, sha256: sha256Of(plain) }, stored);
    });
    const size = builder.sizeBytes;
    const bytes = builder.finish();
    assert.equal(bytes.length, size);
    return { id: builder.id, bytes, entries, plains };
  };

  it("says where its records lie", () => {
    const { id, bytes, entries, plains } = build();
    assert.deepEqual(readPackIndex(id, bytes), entries);
    for (const [i, entry] of entries.entries())
      assert.deepEqual(decodeRecord(bytes.subarray(entry.offset, entry.offset + entry.storedBytes), entry), plains[i]);
  });

  it("that was damaged outside of its records is refused", () => {
    const { id, bytes, entries } = build();
    const indexOffset = bytes.readUInt32LE(bytes.length - 44);
    for (let at = indexOffset; at < bytes.length; at++) {
      const copy = Buffer.from(bytes);
      copy[at] = (copy[at] ?? 0) ^ 0x40;
      assert.throws(() => readPackIndex(id, copy), { code: "store_corrupt" }, `byte ${at}`);
    }
    fc.assert(
      fc.property(damaged(bytes), (other) => {
        refuses(() => assert.deepEqual(readPackIndex(id, other), entries), ["store_corrupt"]);
      }),
    );
  });

  it("of a later format is refused by its number", () => {
    const { id, bytes } = build();
    bytes.writeUInt16LE(2, 8);
    assert.throws(() => readPackIndex(id, bytes), { code: "store_corrupt", message: /format 2, and only 1 is known$/ });
  });
});

describe("a table", () => {
  it("comes back as it was, full as well as with one chunk", () => {
    const full = new Map(Array.from({ length: 512 }, (_, place) => [place, refOf(place)]));
    for (const one of [table, full, new Map([[5, refOf(5)]])]) assert.deepEqual(decodeTable(encodeTable(one)), one);
    assert.ok(encodeTable(full).length < 32_768);
  });

  it("that is not valid is refused, and whatever is read has sane values", () => {
    fc.assert(
      fc.property(damaged(encodeTable(table)), (bytes) => {
        refuses(() => {
          for (const [place, ref] of decodeTable(bytes))
            assert.ok(place < 512 && ref.storedBytes <= CHUNK_BYTES && /^[0-9a-f]{32}$/.test(ref.pack));
        }, ["store_corrupt"]);
      }),
      { numRuns: 500 },
    );
    const later = encodeTable(table);
    later.writeUInt16LE(2, 4);
    assert.throws(() => decodeTable(later), { code: "store_corrupt", message: /format 2, and only 1 is known$/ });
  });
});

describe("a manifest", () => {
  const bytes = encodeManifest(manifest);
  const name = { seq: 7, sha256: sha256Of(bytes) };

  it("comes back as it was", () => {
    assert.deepEqual(decodeManifest(bytes, name), manifest);
  });

  it("is refused under another name, and when it is not valid under its own", () => {
    assert.throws(() => decodeManifest(bytes, { ...name, sha256: "0".repeat(64) }), { code: "store_corrupt" });
    assert.throws(() => decodeManifest(bytes, { ...name, seq: 8 }), { code: "store_corrupt", message: /of version 7/ });
    fc.assert(
      fc.property(damaged(bytes), (other) => {
        refuses(() => decodeManifest(other, { ...name, sha256: sha256Of(other) }), ["store_corrupt"]);
        assert.throws(() => decodeManifest(other, name), { code: "store_corrupt" });
      }),
      { numRuns: 500 },
    );
    const later = Buffer.from(bytes.toString().replace('"format":1', '"format":2'));
    assert.throws(() => decodeManifest(later, { seq: 7, sha256: sha256Of(later) }), {
      message: /format 2, and only 1 is known$/,
    });
  });

  it("ignores fields that later builds add", () => {
    const later = Buffer.from(bytes.toString().replace('"format":1', '"format":1,"later":[1]'));
    assert.deepEqual(decodeManifest(later, { seq: 7, sha256: sha256Of(later) }), manifest);
  });
});

describe("a head", () => {
  it("comes back as it was, and no two that are written are the same", () => {
    const { head, bytes } = encodeHead(draft);
    assert.deepEqual(decodeHead(bytes, "head"), head);
    assert.notDeepEqual(encodeHead(draft).bytes, bytes);
  });

  it("that is not valid is refused", () => {
    const { bytes } = encodeHead(draft);
    fc.assert(
      fc.property(damaged(bytes), (other) => refuses(() => decodeHead(other, "head"), ["store_corrupt"])),
      { numRuns: 500 },
    );
    const later = Buffer.from(bytes.toString().replace('"format":1', '"format":2'));
    assert.throws(() => decodeHead(later, "head"), {
      code: "store_corrupt",
      message: /format 2, and only 1 is known$/,
    });
    assert.throws(() => encodeHead({ ...draft, name: "x".repeat(300_000) }), { code: "store_corrupt" });
  });
});
