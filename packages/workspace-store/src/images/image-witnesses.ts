/** Finds for each image a version that names it. */
import { isAppError } from "@mags/core";
import type { ObjectStore } from "@mags/object-store";
import { versionKey, workspaceObjectOf } from "../keys.ts";
import { readManifest } from "../version-reader.ts";

type Signal = { readonly signal: AbortSignal };

export interface Witnesses {
  /** Digests of images that a manifest names. */
  readonly named: ReadonlySet<string>;
  /** Keys of manifests that cannot be read: they may name any image. */
  readonly unreadable: readonly string[];
}

/**
 * Looks through the manifests of all accounts until each image has one that names it.
 * @param known  Keys of manifests that named an image when they were last read, by digest; kept up.
 */
export async function findWitnesses(
  store: ObjectStore,
  digests: Iterable<string>,
  { known, signal }: Signal & { readonly known: Map<string, string> },
): Promise<Witnesses> {
  const named = new Set<string>();
  const wanted = new Set<string>();
  const unreadable: string[] = [];
  for (const digest of digests) {
    const witness = known.get(digest);
    // What a manifest names never changes.
    if (witness !== undefined && (await store.head(witness, { signal }))) named.add(digest);
    else wanted.add(digest);
  }
  if (wanted.size === 0) return { named, unreadable };
  for await (const { key } of store.list("accounts/", { signal })) {
    const found = workspaceObjectOf(key);
    if (!found?.version) continue;
    try {
      const { digest } = (await readManifest(store, found, { name: found.version, signal })).image;
      known.set(digest, versionKey(found, found.version));
      named.add(digest);
      wanted.delete(digest);
    } catch (error) {
      if (isAppError(error, "version_not_found")) continue; // it was collected meanwhile
      if (!isAppError(error, "store_corrupt")) throw error;
      unreadable.push(key);
    }
    if (wanted.size === 0) break;
  }
  return { named, unreadable };
}
