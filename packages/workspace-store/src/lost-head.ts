/** What a head that is lost would say, as far as the manifests of its workspace tell. */
import { isAppError } from "@mags/core";
import type { ObjectStore } from "@mags/object-store";
import { forEach } from "./for-each.ts";
import { type HeadVersion, headVersionOf } from "./format/head.ts";
import { isForeign } from "./format/json-object.ts";
import type { Manifest } from "./format/manifest.ts";
import { type VersionName, versionsPrefix, type WorkspaceKey, workspaceObjectOf } from "./keys.ts";
import { keptVersions } from "./retention.ts";
import { readManifest } from "./version-reader.ts";

type Signal = { readonly signal: AbortSignal };

export interface FoundVersions {
  /** Of the last lease under which one of them was written; 0 without any. */
  readonly generation: number;
  /** Those that the retention rule keeps, by `seq`. Also such that no head ever listed, when their manifests are whole. */
  readonly versions: readonly HeadVersion[];
  /** How many manifests there are, damaged ones among them: where there are any and no head, that is lost. */
  readonly manifests: number;
}

/** Manifests that are read at a time. */
const AT_ONCE = 8;

/**
 * Damaged manifests are passed over. Of two with one number that of the later lease counts.
 * @throws AppError `store_corrupt` for one of a format that is not known: it may be whole.
 */
export async function findVersions(store: ObjectStore, key: WorkspaceKey, { signal }: Signal): Promise<FoundVersions> {
  const names: VersionName[] = [];
  for await (const object of store.list(versionsPrefix(key), { signal })) {
    const version = workspaceObjectOf(object.key)?.version;
    if (version) names.push(version);
  }
  const found = new Map<number, { readonly name: VersionName; readonly manifest: Manifest }>();
  await forEach(names, { width: AT_ONCE, signal }, async (name, { signal }) => {
    try {
      const manifest = await readManifest(store, key, { name, signal });
      const known = found.get(name.seq)?.manifest;
      if (!known || known.generation < manifest.generation) found.set(name.seq, { name, manifest });
    } catch (error) {
      const isDamaged = isAppError(error, "store_corrupt") && !isForeign(error);
      if (!isDamaged && !isAppError(error, "version_not_found")) throw error;
    }
  });
  const all = [...found.values()].toSorted((a, b) => a.name.seq - b.name.seq);
  return {
    generation: Math.max(0, ...all.map(({ manifest }) => manifest.generation)),
    versions: keptVersions(all.map(({ name, manifest }) => headVersionOf(name, manifest))),
    manifests: names.length,
  };
}
