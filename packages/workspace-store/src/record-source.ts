/** Reads records of packs. */
import { isAppError } from "@mags/core";
import type { ObjectStore } from "@mags/object-store";
import { corrupt, decodeRecord, type RecordRef } from "./format/records.ts";
import { packKey } from "./keys.ts";
import type { TableCache } from "./table-cache.ts";

export interface RecordSource {
  /** Where all who read from this source keep tables. Default: each reader keeps its own, up to 128 full ones. */
  readonly tables?: TableCache;
  /**
   * The plain bytes, proven by their digest.
   * @throws AppError `chunk_corrupt` if the record is damaged or the store does not have its pack; whatever the store
   *   throws when it cannot be asked.
   */
  get(ref: RecordRef, options: { readonly signal: AbortSignal }): Promise<Buffer>;
  /** The same for several records; neighbours in a pack are read together. In the order of `refs`. */
  getAll(refs: readonly RecordRef[], options: { readonly signal: AbortSignal }): Promise<Buffer[]>;
}

/** Bytes between two records that are read along rather than asked for apart. */
const GAP_BYTES = 64 << 10;
const RUN_BYTES = 4 << 20;

interface Run {
  readonly pack: string;
  start: number;
  end: number;
  readonly refs: RecordRef[];
}

export function recordsOf(store: ObjectStore, account: string): RecordSource {
  async function stored({ pack, start, end, refs }: Run, signal: AbortSignal): Promise<Buffer> {
    try {
      return (await store.get(packKey(account, pack), { range: { start, end }, signal })).bytes;
    } catch (error) {
      const [first] = refs;
      if (first && isAppError(error, "object_not_found"))
        throw corrupt(first, "the store does not have its pack", error);
      if (first && isAppError(error, "range_not_satisfiable")) throw corrupt(first, "its pack ends before it", error);
      throw error;
    }
  }

  async function getAll(refs: readonly RecordRef[], { signal }: { readonly signal: AbortSignal }): Promise<Buffer[]> {
    const plain = new Map<RecordRef, Buffer>();
    const read = async (run: Run) => {
      const bytes = await stored(run, signal);
      for (const ref of run.refs) {
        const from = ref.offset - run.start;
        plain.set(ref, decodeRecord(bytes.subarray(from, from + ref.storedBytes), ref));
      }
    };
    await Promise.all(runsOf(refs).map(read));
    return refs.map((ref) => plain.get(ref) as Buffer); // every ref is in a run
  }

  return {
    getAll,
    async get(ref, options) {
      const [plain] = await getAll([ref], options);
      return plain as Buffer; // one for one
    },
  };
}

/** Records by pack and offset, as few reads as gaps and sizes allow. */
function runsOf(refs: readonly RecordRef[]): Run[] {
  const sorted = refs.toSorted((a, b) => (a.pack === b.pack ? a.offset - b.offset : a.pack < b.pack ? -1 : 1));
  const runs: Run[] = [];
  for (const ref of sorted) {
    const end = ref.offset + ref.storedBytes;
    const last = runs.at(-1);
    if (last && last.pack === ref.pack && ref.offset <= last.end + GAP_BYTES && end - last.start <= RUN_BYTES) {
      last.end = Math.max(last.end, end);
      last.refs.push(ref);
    } else {
      runs.push({ pack: ref.pack, start: ref.offset, end, refs: [ref] });
    }
  }
  return runs;
}
