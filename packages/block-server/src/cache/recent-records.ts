/** Records that were proven and are about to be asked for, or asked for again, in memory: bounded, the oldest going first. */
export interface RecentRecords {
  get(account: string, sha256: string): Buffer | undefined;
  put(account: string, sha256: string, plain: Buffer): void;
}

export function createRecentRecords({ maxBytes }: { readonly maxBytes: number }): RecentRecords {
  const kept = new Map<string, Buffer>();
  let sizeBytes = 0;
  const nameOf = (account: string, sha256: string) => `${account}/${sha256}`;
  return {
    get: (account, sha256) => kept.get(nameOf(account, sha256)),
    put(account, sha256, plain) {
      const name = nameOf(account, sha256);
      if (kept.has(name) || plain.length > maxBytes) return;
      kept.set(name, plain);
      sizeBytes += plain.length;
      for (const [oldest, { length }] of kept) {
        if (sizeBytes <= maxBytes) return;
        kept.delete(oldest);
        sizeBytes -= length;
      }
    },
  };
}
