import { badArchive } from "@mags/tar";
import type { TarLimits } from "../tar/reader.ts";
import type { ByteBudget } from "./compression.ts";

export interface ImportLimits {
  /** Bytes of an image, unpacked, and of what is unpacked on the way. */
  readonly maxBytes: number;
  readonly maxEntries: number;
}

/** Names and attributes are held in memory. */
const MAX_METADATA_BYTES = 256 * 1024 * 1024;

export function createEntryLimits({ maxEntries }: ImportLimits): TarLimits {
  let entries = 0;
  let bytes = 0;
  return {
    count(metadataBytes) {
      bytes += metadataBytes;
      if (++entries > maxEntries)
        throw badArchive(`it has more than ${maxEntries} entries: if that is meant, raise node.images.max_entries`);
      if (bytes > MAX_METADATA_BYTES)
        throw badArchive(`the names of its files take more than ${MAX_METADATA_BYTES / 1024 ** 2} MiB`);
    },
  };
}

export function createByteBudget({ maxBytes }: ImportLimits): ByteBudget {
  let left = maxBytes;
  return {
    take(bytes) {
      left -= bytes;
      if (left < 0)
        throw badArchive(
          `it takes more than ${Math.floor(maxBytes / 1024 ** 2)} MiB unpacked: if that is meant, raise node.images.max_size_mb`,
        );
    },
  };
}
