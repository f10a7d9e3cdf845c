/** Finds what a disk is to be compared with when it is published. */
import { isAppError } from "@mags/core";
import { isCompactionOf, latestOf, type Manifest, type VersionName, type VersionReader } from "@mags/workspace-store";
import type { SyncCall, VersionKey } from "../calls.ts";

export interface FoundParent {
  /** Undefined: nothing but zeros. */
  readonly reader: VersionReader | undefined;
  /** It has the contents of the parent that the call names: what has changed since that one is all that differs. */
  readonly isNamed: boolean;
  /** The newest version, where that is not the reader's because the store has lost it. */
  readonly follows?: VersionName;
  /** What the store has lost, for people; null when nothing. */
  readonly missing: string | null;
}

/**
 * The parent that the call names, or a newer version of the workspace:
 * - one with the same contents, which only lie elsewhere: a compaction;
 * - one that was made of this disk and whose publication its caller does not know of, because the reply was lost. All that
 *   changed since the parent comes again.
 * A version that the store does not have any more, the parent or one after it, helps nobody who waits for it: the disk is
 * whole, and all of it is compared with what there is.
 */
export async function findParent(
  call: SyncCall,
  {
    head,
    writer,
    open,
  }: {
    readonly head: Parameters<typeof latestOf>[0];
    /** What versions of this disk are written by. */
    readonly writer: string;
    readonly open: (key: VersionKey) => Promise<VersionReader>;
  },
): Promise<FoundParent> {
  const { parent } = call;
  const latest = latestOf(head);
  async function named(): Promise<FoundParent> {
    const reader = parent ? await openIfThere(parent) : undefined;
    if (reader || !parent) return { reader, isNamed: true, missing: null };
    const follows = latest?.sha256 === parent.version.sha256 ? { follows: latest } : {};
    return { reader, isNamed: false, ...follows, missing: missingText(parent.version, MADE_FROM) };
  }
  async function openIfThere(key: VersionKey): Promise<VersionReader | undefined> {
    try {
      return await open(key);
    } catch (error) {
      if (isAppError(error, "version_not_found")) return undefined;
      throw error;
    }
  }
  const isCompactionOfNamed = (one: Manifest) =>
    parent?.workspace === call.workspace && isCompactionOf(one, parent.version);

  if (!latest || latest.sha256 === parent?.version.sha256) return await named();
  const newest = await open({ ...call, version: latest });
  let isCompaction = true;
  for (let one: Manifest = newest.manifest; ; ) {
    isCompaction &&= one.reason === "compaction";
    if (one.reason !== "compaction" && (one.writer !== writer || one.reason === "restore")) return await named();
    if (one.parent?.sha256 === parent?.version.sha256 || isCompactionOfNamed(one))
      return { reader: newest, isNamed: isCompaction, missing: null };
    if (one.parent === null) {
      const found = await named();
      // Of this disk, whatever it began as.
      return found.missing === null ? found : { reader: newest, isNamed: false, missing: found.missing };
    }
    const { workspace = call.workspace, ...version } = one.parent;
    const before = await openIfThere({ ...call, workspace, version });
    if (!before) return { reader: newest, isNamed: false, missing: missingText(version, "on which later ones build") };
    one = before.manifest;
  }
}

const MADE_FROM = "which the disk was made from";
const missingText = ({ seq }: VersionName, what: string) =>
  `version ${seq}, ${what}, is not in the object store any more: all of the disk was compared`;
