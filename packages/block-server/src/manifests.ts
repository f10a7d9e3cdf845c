/** Manifests that were read last: a start asks for the same one twice. Their names are their digests, so they never change. */
import type { ObjectStore } from "@mags/object-store";
import { fetchManifest } from "@mags/workspace-store";
import type { VersionKey } from "./calls.ts";

const KEPT = 16;

/** @returns reads a manifest as it stands in the store. @throws AppError `version_not_found`. */
export function createManifests(
  store: ObjectStore,
): (key: VersionKey, options: { readonly signal: AbortSignal }) => Promise<Buffer> {
  const kept = new Map<string, Buffer>();
  return async (key, { signal }) => {
    const name = `${key.account} ${key.workspace} ${key.version.sha256}`;
    const manifest = kept.get(name) ?? (await fetchManifest(store, key, { name: key.version, signal }));
    kept.delete(name);
    kept.set(name, manifest);
    for (const [oldest] of kept) {
      if (kept.size <= KEPT) break;
      kept.delete(oldest);
    }
    return manifest;
  };
}
