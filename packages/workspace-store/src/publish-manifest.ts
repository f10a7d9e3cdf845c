/** The last two steps of a publication: the manifest, then the head that lists it. */
import { AppError } from "@mags/core";
import type { ObjectStore } from "@mags/object-store";
import { type HeadVersion, headVersionOf, latestOf } from "./format/head.ts";
import { encodeManifest, type Manifest } from "./format/manifest.ts";
import { sha256Of } from "./format/records.ts";
import { versionKey } from "./keys.ts";
import type { Lease } from "./lease.ts";

export interface Published {
  readonly version: HeadVersion;
  /** Versions that the retention rule let go. */
  readonly dropped: readonly HeadVersion[];
  readonly sentBytes: number;
  readonly puts: number;
}

/**
 * @param manifest  Of the version after the newest one; all that it names is in the store.
 * @param options.sent  What was sent for it so far.
 * @param options.mustBeInTime  Asked before each of both: throws where the version must not come to be after all.
 * @throws AppError `lease_lost`, `unavailable` when there is a newer version than was known, and what the store says.
 */
export async function publishManifest(
  { store, lease }: { readonly store: ObjectStore; readonly lease: Lease },
  manifest: Manifest,
  options: {
    readonly sent: { readonly bytes: number; readonly puts: number };
    readonly keep: (versions: readonly HeadVersion[]) => readonly HeadVersion[];
    readonly mustBeInTime: () => void;
    readonly signal: AbortSignal;
  },
): Promise<Published> {
  const { sent, keep, mustBeInTime, signal } = options;
  const { seq } = manifest;
  const bytes = encodeManifest(manifest);
  const name = { seq, sha256: sha256Of(bytes) };
  mustBeInTime();
  await store.put(versionKey(lease, name), bytes, { signal });
  mustBeInTime();
  const version = headVersionOf(name, manifest);
  let before: readonly HeadVersion[] = [];
  const head = await lease.update(
    (now) => {
      // Of an earlier publication nobody was told: what this one was made of is not the newest version any more.
      if ((latestOf(now)?.seq ?? 0) !== seq - 1)
        throw new AppError(
          "unavailable",
          `workspace ${lease.workspace} has a version that was not known of: try again`,
        );
      before = [...now.versions, version];
      const kept = new Set(keep(before)).add(version);
      return { ...now, versions: before.filter((one) => kept.has(one)) };
    },
    { signal },
  );
  const listed = new Set(head.versions.map((one) => one.seq));
  return {
    version,
    dropped: before.filter((one) => !listed.has(one.seq)),
    sentBytes: sent.bytes + bytes.length,
    puts: sent.puts + 2,
  };
}
