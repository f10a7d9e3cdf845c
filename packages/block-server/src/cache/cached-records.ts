/** Records through memory and cache; what is fetched once at a time is fetched for all who want it. */
import { isAppError, untilAborted } from "@mags/core";
import type { RecordRef, RecordSource, TableCache } from "@mags/workspace-store";
import type { RecentRecords } from "./recent-records.ts";
import type { RecordCache } from "./record-cache.ts";

export interface CachedRecords extends RecordSource {
  /** Has them at hand soon; nobody waits for it, and what fails is asked for again by who needs it. */
  prefetch(refs: readonly RecordRef[]): void;
  /** Has at hand what its caller knows the plain bytes of; they do not change afterwards. Resolves soon, written or not. */
  keep(ref: RecordRef, plain: Buffer): Promise<void>;
}

export interface CachedRecordsOptions {
  readonly account: string;
  readonly recent: RecentRecords;
  /** Shared by all accounts, which do not see each other's. */
  readonly tables: TableCache;
  readonly signal: AbortSignal;
}

/** What waits to be written into the cache. With more, who asked for it waits, too. */
const UNWRITTEN_BYTES = 32 << 20;

/** Calls may run concurrently. A fetch goes on for the others when one that waits for it gives up. */
export function cachedRecords(
  source: RecordSource,
  cache: RecordCache,
  { account, recent, tables, signal: ending }: CachedRecordsOptions,
): CachedRecords {
  /** Being read, from the cache or the store. */
  const coming = new Map<string, Promise<Buffer>>();
  let unwrittenBytes = 0;

  async function keep(ref: RecordRef, plain: Buffer): Promise<void> {
    recent.put(account, ref.sha256, plain);
    unwrittenBytes += plain.length;
    const written = cache.put(account, ref, plain).finally(() => {
      unwrittenBytes -= plain.length;
    });
    if (unwrittenBytes > UNWRITTEN_BYTES) await written;
  }

  /** All at once, so that neighbours are read together; each alone when one of them is damaged. */
  function fetch(refs: readonly RecordRef[]): Promise<Buffer>[] {
    const all = source.getAll(refs, { signal: ending });
    return refs.map(async (ref, i) => {
      const plain = await all.then(
        (plains) => plains[i] as Buffer, // one for one
        (error: unknown) => {
          if (!isAppError(error, "chunk_corrupt") || refs.length === 1) throw error;
          return source.get(ref, { signal: ending });
        },
      );
      await keep(ref, plain);
      return plain;
    });
  }

  /** Begins to read what is neither in memory nor coming already. */
  function begin(refs: readonly RecordRef[]): void {
    const wanted = new Map<string, RecordRef>();
    for (const ref of refs)
      if (!coming.has(ref.sha256) && !recent.get(account, ref.sha256)) wanted.set(ref.sha256, ref);
    if (wanted.size === 0) return;
    const asked = [...wanted.values()];
    const found = Promise.all(asked.map((ref) => cache.get(account, ref))).then((cached) => {
      const missing = asked.filter((_, i) => !cached[i]);
      const fetched = new Map(missing.length > 0 ? fetch(missing).map((one, i) => [missing[i]?.sha256, one]) : []);
      for (const one of fetched.values()) one.catch(() => {}); // it is awaited below
      return { cached, fetched };
    });
    for (const [i, { sha256 }] of asked.entries()) {
      const one = found.then(async ({ cached, fetched }) => {
        const plain = cached[i] ?? ((await fetched.get(sha256)) as Buffer); // one or the other
        recent.put(account, sha256, plain);
        return plain;
      });
      coming.set(sha256, one);
      one.catch(() => {}).finally(() => coming.delete(sha256));
    }
  }

  async function getAll(refs: readonly RecordRef[], { signal }: { readonly signal: AbortSignal }): Promise<Buffer[]> {
    begin(refs);
    return Promise.all(
      refs.map(
        (ref) => recent.get(account, ref.sha256) ?? untilAborted(coming.get(ref.sha256) as Promise<Buffer>, signal),
      ),
    );
  }

  return {
    tables: {
      get: (name) => tables.get(`${account}/${name}`),
      put: (name, table) => tables.put(`${account}/${name}`, table),
    },
    prefetch: begin,
    keep,
    getAll,
    async get(ref, options) {
      return (await getAll([ref], options))[0] as Buffer; // one for one
    },
  };
}
