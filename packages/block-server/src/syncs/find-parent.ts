/** Finds what a disk is to be compared with when it is published. */
import { latestOf, type Manifest, type VersionReader } from "@mags/workspace-store";
import type { SyncCall, VersionKey } from "../calls.ts";

export interface FoundParent {
  /** Undefined: nothing but zeros. */
  readonly reader: VersionReader | undefined;
  /** It has the contents of the parent that the call names: what has changed since that one is all that differs. */
  readonly isNamed: boolean;
}

/**
 * The parent that the call names, or a newer version of the workspace:
 * - one with the same contents, which only lie elsewhere: a compaction;
 * - one that was made of this disk and whose publication its caller does not know of, because the reply was lost. All that
 *   changed since the parent comes again.
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
  const named = async () => ({ reader: parent ? await open(parent) : undefined, isNamed: true });
  const latest = latestOf(head);
  if (!latest || latest.sha256 === parent?.version.sha256) return await named();
  const newest = await open({ ...call, version: latest });
  let isCompaction = true;
  for (let one: Manifest = newest.manifest; ; ) {
    isCompaction &&= one.reason === "compaction";
    if (one.reason !== "compaction" && (one.writer !== writer || one.reason === "restore")) return await named();
    if (one.parent?.sha256 === parent?.version.sha256) return { reader: newest, isNamed: isCompaction };
    if (one.parent === null) return await named();
    one = (await open({ ...call, version: one.parent })).manifest;
  }
}
