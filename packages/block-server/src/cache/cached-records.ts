/** Records through the cache; what is fetched once at a time is fetched for all who want it. */
import { isAppError, untilAborted } from "@mags/core";
import type { RecordRef, RecordSource } from "@mags/workspace-store";
import type { RecordCache } from "./record-cache.ts";

/** Calls may run concurrently. A fetch goes on for the others when one that waits for it gives up. */
export function cachedRecords(
  source: RecordSource,
  cache: RecordCache,
  { account, signal: ending }: { readonly account: string; readonly signal: AbortSignal },
): RecordSource {
  const fetching = new Map<string, Promise<Buffer>>();

  /** Asks for all at once, so that neighbours are read together; for each alone when one of them is damaged. */
  function fetch(refs: readonly RecordRef[]): void {
    const all = source.getAll(refs, { signal: ending });
    for (const [i, ref] of refs.entries()) {
      const one = all
        .then(
          (plains) => plains[i] as Buffer, // one for one
          (error: unknown) => {
            if (!isAppError(error, "chunk_corrupt") || refs.length === 1) throw error;
            return source.get(ref, { signal: ending });
          },
        )
        .then(async (plain) => {
          await cache.put(account, ref, plain);
          return plain;
        });
      fetching.set(ref.sha256, one);
      one.catch(() => {}).finally(() => fetching.delete(ref.sha256));
    }
  }

  async function getAll(refs: readonly RecordRef[], { signal }: { readonly signal: AbortSignal }): Promise<Buffer[]> {
    const cached = await Promise.all(
      refs.map((ref) => (fetching.has(ref.sha256) ? undefined : cache.get(account, ref))),
    );
    const missing = new Map<string, RecordRef>();
    for (const [i, ref] of refs.entries()) if (!cached[i] && !fetching.has(ref.sha256)) missing.set(ref.sha256, ref);
    if (missing.size > 0) fetch([...missing.values()]);
    return Promise.all(
      refs.map((ref, i) => cached[i] ?? untilAborted(fetching.get(ref.sha256) ?? cacheMiss(ref), signal)),
    );
  }

  /** It came and was kept between two looks, and is not there any more. */
  const cacheMiss = (ref: RecordRef): Promise<Buffer> => source.get(ref, { signal: ending });

  return {
    getAll,
    async get(ref, options) {
      return (await getAll([ref], options))[0] as Buffer; // one for one
    },
  };
}
