/** The content of a file as a tar archive has it: with zeros where it has holes, or as its parts with a map of them. */
import type { Ext4, Inode, Region } from "@mags/ext4";
import { createMapMeasure, sparseMap } from "@mags/tar";

type Signal = { readonly signal: AbortSignal };

export interface FileContent {
  /** How many bytes `bytes` gives. */
  readonly size: number;
  /** The file's size, where only its parts are given. */
  readonly sparseSize?: number;
  /** Bytes that lie on the disk. */
  readonly stored: number;
  /** Zeros of holes that are among what is given. */
  readonly zeros: number;
  bytes(): AsyncGenerator<Buffer, void, void>;
}

const PIECE_BYTES = 1 << 20;
const ZEROS = Buffer.alloc(PIECE_BYTES);
/** Smaller holes are cheaper to write than to explain to tools that do not know sparse files. */
const SPARSE_FROM_BYTES = 16 << 20;

/** @param options.zerosLeft  Most zeros that are given for holes. */
export async function contentOf(
  disk: Ext4,
  file: Inode,
  { zerosLeft, signal }: Signal & { readonly zerosLeft: number },
): Promise<FileContent> {
  const { sizeBytes } = file;
  const regions = () => disk.regions(file, { signal });
  const measure = createMapMeasure(sizeBytes);
  let stored = 0;
  for await (const region of regions()) {
    stored += region.length;
    measure.add(region);
  }
  const holes = sizeBytes - stored;
  if (holes < SPARSE_FROM_BYTES && holes <= zerosLeft)
    return { size: sizeBytes, stored, zeros: holes, bytes: () => whole(regions(), { disk, sizeBytes, signal }) };
  const { count, bytes } = measure.end();
  return {
    size: bytes + stored,
    sparseSize: sizeBytes,
    stored,
    zeros: 0,
    async *bytes() {
      yield* sparseMap(regions(), { count, sparseSize: sizeBytes });
      for await (const region of regions()) yield* written(disk, region, { signal });
    },
  };
}

async function* whole(
  regions: AsyncIterable<Region>,
  { disk, sizeBytes, signal }: Signal & { readonly disk: Ext4; readonly sizeBytes: number },
): AsyncGenerator<Buffer, void, void> {
  let at = 0;
  for await (const region of regions) {
    yield* zeros(region.offset - at);
    yield* written(disk, region, { signal });
    at = region.offset + region.length;
  }
  yield* zeros(sizeBytes - at);
}

async function* written(disk: Ext4, region: Region, options: Signal): AsyncGenerator<Buffer, void, void> {
  for (let done = 0; done < region.length; done += PIECE_BYTES)
    yield disk.read(region.at + done, Math.min(PIECE_BYTES, region.length - done), options);
}

function* zeros(length: number): Generator<Buffer, void, void> {
  for (let left = length; left > 0; left -= PIECE_BYTES) yield ZEROS.subarray(0, Math.min(PIECE_BYTES, left));
}
