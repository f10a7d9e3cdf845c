export type { TarEntryType, TarHeader } from "./entry-reader.ts";
export { createEntryReader, type EntryReader } from "./entry-reader.ts";
export { BLOCK_BYTES, badArchive, checksumOf, MAX_PATH_BYTES, shown } from "./header.ts";
export { paxRecord } from "./pax.ts";
export { createMapMeasure, sparseMap } from "./sparse-map.ts";
export { readTarStream, type StreamedEntry } from "./stream-reader.ts";
export { END_OF_ARCHIVE, headerBytes, type LongNames, padding, type WrittenEntry } from "./writer.ts";
