/** Which packs manifests name, as far as they were read before: what a manifest says never changes. */

export interface KnownPacks {
  /** Ids of the packs; undefined when it is not known. @param key  Of the manifest. */
  get(key: string): readonly string[] | undefined;
  /** Remembers them where there is room. */
  add(key: string, packs: Iterable<string>): void;
  /** Forgets manifests below a prefix that are not there any more. */
  keepOnly(there: ReadonlySet<string>, options: { readonly prefix: string }): void;
}

/** Some 400 000 names of packs. */
const MAX_BYTES = 16 << 20;

/**
 * With no room left what is known stays, and the rest is read each time: every look goes through all manifests in one order,
 * so whatever made room for another would be missed before that is needed again.
 */
export function createKnownPacks({ maxBytes = MAX_BYTES } = {}): KnownPacks {
  /** Ids with spaces between them. */
  const known = new Map<string, string>();
  let bytes = 0;
  return {
    get(key) {
      const ids = known.get(key);
      return ids === "" ? [] : ids?.split(" ");
    },
    add(key, packs) {
      const ids = [...packs].join(" ");
      if (known.has(key) || bytes + key.length + ids.length > maxBytes) return;
      known.set(key, ids);
      bytes += key.length + ids.length;
    },
    keepOnly(there, { prefix }) {
      for (const [key, ids] of known) {
        if (!key.startsWith(prefix) || there.has(key)) continue;
        known.delete(key);
        bytes -= key.length + ids.length;
      }
    },
  };
}
