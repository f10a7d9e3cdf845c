import type { Table } from "./format/table.ts";

/** Tables of versions that were used last, in memory. */
export interface TableCache {
  /** @param name  Names nothing else: a table never changes. */
  get(name: string): Table | undefined;
  put(name: string, table: Table): void;
}

/** @param options.maxChunks  That all tables list together; each chunk takes some 230 bytes. */
export function createTableCache({ maxChunks }: { readonly maxChunks: number }): TableCache {
  /** The least recently used first. */
  const kept = new Map<string, Table>();
  let chunks = 0;
  return {
    get(name) {
      const table = kept.get(name);
      if (!table) return undefined;
      kept.delete(name);
      kept.set(name, table);
      return table;
    },
    put(name, table) {
      if (kept.has(name)) return;
      kept.set(name, table);
      chunks += table.size;
      for (const [oldest, { size }] of kept) {
        if (chunks <= maxChunks) return;
        kept.delete(oldest);
        chunks -= size;
      }
    },
  };
}
