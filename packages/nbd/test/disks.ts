/** Disks for tests: bytes of which some blocks are zero and not kept. */
import type { NbdExport, NbdPiece } from "@mags/nbd";
import fc from "fast-check";

export interface TestDisk {
  readonly bytes: Buffer;
  readonly source: NbdExport;
}

/** @param blockBytes  Blocks of zeros of this size are holes. */
export function createDisk(bytes: Buffer, blockBytes: number): TestDisk {
  const zeros = Buffer.alloc(blockBytes);
  const isHole = (at: number) => {
    const start = at - (at % blockBytes);
    const block = bytes.subarray(start, start + blockBytes);
    return block.equals(zeros.subarray(0, block.length));
  };

  /** Cuts a range at the blocks. */
  function* blocks(offset: number, length: number): Generator<{ readonly at: number; readonly end: number }> {
    for (let at = offset; at < offset + length; ) {
      const end = Math.min(offset + length, at - (at % blockBytes) + blockBytes);
      yield { at, end };
      at = end;
    }
  }

  return {
    bytes,
    source: {
      sizeBytes: bytes.length,
      async read(offset, length) {
        return [...blocks(offset, length)].map(
          ({ at, end }): NbdPiece => (isHole(at) ? { zeroBytes: end - at } : bytes.subarray(at, end)),
        );
      },
      extents: (offset, length) =>
        [...blocks(offset, length)].map(({ at, end }) => ({ length: end - at, zero: isHole(at) })),
    },
  };
}

/** Disks of a few blocks, some of them holes, whose last block may be cut. */
export function anyDisk(options: { readonly blockBytes: number; readonly maxBlocks: number }): fc.Arbitrary<TestDisk> {
  const { blockBytes, maxBlocks } = options;
  const fills = fc.array(fc.option(fc.integer({ min: 1, max: 255 })), { minLength: 1, maxLength: maxBlocks });
  return fc.record({ fills, cut: fc.nat({ max: blockBytes - 1 }) }).map(({ fills, cut }) => {
    const bytes = Buffer.alloc(fills.length * blockBytes - cut);
    // Each byte tells where it is from, so that none can stand in the wrong place.
    for (const [index, fill] of fills.entries())
      if (fill !== null)
        for (let at = index * blockBytes; at < Math.min(bytes.length, (index + 1) * blockBytes); at++)
          bytes.writeUInt8(1 + ((fill + at * 7) % 255), at);
    return createDisk(bytes, blockBytes);
  });
}
