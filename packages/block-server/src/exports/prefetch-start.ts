import type { VersionReader } from "@mags/workspace-store";
import type { CachedRecords } from "../cache/cached-records.ts";

/** 4 MiB: what is under way at a time, and in memory. */
const BATCH_CHUNKS = 64;

/** Fetches chunks in their order, some at a time. Resolves when all of them were at hand. @throws what the store says. */
export async function prefetchStart(
  { version, records }: { readonly version: VersionReader; readonly records: CachedRecords },
  chunks: readonly number[],
  { signal }: { readonly signal: AbortSignal },
): Promise<void> {
  for (let from = 0; from < chunks.length; from += BATCH_CHUNKS) {
    const batch = chunks.slice(from, from + BATCH_CHUNKS).filter((chunk) => chunk < version.chunkCount);
    const refs = await Promise.all(batch.map((chunk) => version.chunk(chunk, { signal })));
    await records.getAll(
      refs.filter((ref) => ref !== undefined),
      { signal },
    );
  }
}
