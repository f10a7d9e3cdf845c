/** Finds what a disk is to be compared with when it is published. */
import { isAppError } from "@mags/core";
import {
  type Head,
  isCompactionOf,
  latestOf,
  type Manifest,
  type VersionName,
  type VersionReader,
} from "@mags/workspace-store";
import type { SyncCall, VersionKey } from "../calls.ts";
import { isLost } from "./lost-versions.ts";

export interface FoundParent {
  /** Undefined: nothing but zeros. */
  readonly reader: VersionReader | undefined;
  /** It has the contents of the parent that the call names: what has changed since that one is all that differs. */
  readonly isNamed: boolean;
  /** The newest version, where that is not the reader's because it is lost or damaged. */
  readonly follows?: VersionName;
  /** What is lost or damaged, for people; null when nothing. */
  readonly missing: string | null;
}

/**
 * The parent that the call names, or a newer version of the workspace:
 * - one with the same contents, which only lie elsewhere: a compaction;
 * - one that was made of this disk and whose publication its caller does not know of, because the reply was lost. All that
 *   changed since the parent comes again.
 * A version that is lost or damaged, the parent or one after it, helps nobody who waits for it: the disk is whole, and all
 * of it is compared with what there is.
 */
export async function findParent(
  call: SyncCall,
  {
    head,
    writer,
    open,
  }: {
    readonly head: Head;
    /** What versions of this disk are written by. */
    readonly writer: string;
    readonly open: (key: VersionKey) => Promise<VersionReader>;
  },
): Promise<FoundParent> {
  const { parent } = call;
  const latest = latestOf(head);
  /** By digest, with what became of them. */
  const lost = new Map<string, string>();
  const missingText = ({ seq, sha256 }: VersionName, what: string) =>
    `version ${seq}, ${what}, ${lost.get(sha256)}: all of the disk was compared`;

  async function openIfThere(key: VersionKey): Promise<VersionReader | undefined> {
    try {
      return await open(key);
    } catch (error) {
      if (!isLost(error)) throw error;
      const isGone = isAppError(error, "version_not_found");
      lost.set(key.version.sha256, isGone ? "is not in the object store any more" : "is damaged");
      return undefined;
    }
  }
  async function named(): Promise<FoundParent> {
    const reader = parent ? await openIfThere(parent) : undefined;
    if (reader || !parent) return { reader, isNamed: true, missing: null };
    return { reader, isNamed: false, missing: missingText(parent.version, MADE_FROM) };
  }
  async function newestThere(): Promise<VersionReader | undefined> {
    for (const version of head.versions.toReversed()) {
      const reader = await openIfThere({ ...call, version });
      if (reader) return reader;
    }
    return undefined;
  }
  const isNamedBy = (sha256: string | undefined) => sha256 === parent?.version.sha256;
  const isCompactionOfNamed = (one: Manifest) =>
    parent?.workspace === call.workspace && isCompactionOf(one, parent.version);

  /** How a newer version came of the parent; undefined when it is another's, which nothing is published over. */
  async function wayTo(newest: VersionReader): Promise<Pick<FoundParent, "isNamed" | "missing"> | undefined> {
    let isCompaction = true;
    for (let one: Manifest = newest.manifest; ; ) {
      isCompaction &&= one.reason === "compaction";
      if (one.reason !== "compaction" && (one.writer !== writer || one.reason === "restore")) return undefined;
      if (isNamedBy(one.parent?.sha256) || isCompactionOfNamed(one)) return { isNamed: isCompaction, missing: null };
      if (one.parent === null) {
        const { missing } = await named();
        // Of this disk, whatever it began as.
        return missing === null ? undefined : { isNamed: false, missing };
      }
      const { workspace = call.workspace, ...version } = one.parent;
      const before = await openIfThere({ ...call, workspace, version });
      if (!before) return { isNamed: false, missing: missingText(version, "on which later ones build") };
      one = before.manifest;
    }
  }

  if (!latest) return await named();
  const newest = await newestThere();
  if (newest?.name.sha256 === latest.sha256) {
    if (isNamedBy(latest.sha256)) return { reader: newest, isNamed: true, missing: null };
    const way = await wayTo(newest);
    return way ? { reader: newest, ...way } : await named();
  }
  const isOwn =
    !newest || isNamedBy(newest.name.sha256) || (parent && lost.has(parent.version.sha256)) || (await wayTo(newest));
  const found = await named();
  if (!isOwn) return found;
  const base = newest ?? found.reader;
  return {
    // A disk does not shrink.
    reader: base && base.manifest.diskBytes <= call.diskBytes ? base : undefined,
    ...{ isNamed: false, follows: latest },
    missing: missingText(latest, isNamedBy(latest.sha256) ? MADE_FROM : "the newest"),
  };
}

const MADE_FROM = "which the disk was made from";
