/** Takes what a workspace needs out of packs of which it needs little, so that the collector can remove them in time. */
import type { Clock } from "@mags/core";
import type { ObjectStore } from "@mags/object-store";
import {
  createVersionWriter,
  type Head,
  type HeadVersion,
  keptVersions,
  type Lease,
  latestOf,
  moveOutOf,
  planCompaction,
  recordsOf,
  type VersionReader,
} from "@mags/workspace-store";

const MIB = 1 << 20;
/** Stated in docs/formats/workspace-store.md. */
const RULE = { usedPart: 0.5, leastFreedBytes: 32 * MIB, maxBytes: 64 * MIB };

export interface CompactDeps {
  readonly store: ObjectStore;
  /** How long it may take. */
  readonly limitMs: number;
  readonly clock: Clock;
  readonly open: (version: HeadVersion) => Promise<VersionReader>;
}

export interface CompactOptions {
  /** Packs that other workspaces use, too. */
  readonly shared: ReadonlySet<string>;
  /** Asked again and again: false gives it up. */
  readonly mayGoOn: () => boolean;
  readonly signal: AbortSignal;
}

export interface Compacted {
  readonly version: HeadVersion;
  /** That are not used any more, and what was in them that nobody needed. */
  readonly packs: number;
  readonly freedBytes: number;
  readonly sentBytes: number;
}

/** Which packs the newest version of a workspace is to give up; none when that is not worth it. */
export async function packsToGiveUp(
  { open }: Pick<CompactDeps, "open">,
  head: Head,
  { shared }: Pick<CompactOptions, "shared">,
): Promise<ReadonlySet<string>> {
  const latest = latestOf(head);
  return latest ? planCompaction((await open(latest)).manifest, { ...RULE, shared }) : new Set();
}

/** @returns undefined when there is nothing to be done, or it was given up. @throws AppError `lease_lost` and what the store says. */
export async function compactWorkspace(
  { store, limitMs, clock, open }: CompactDeps,
  lease: Lease,
  { shared, mayGoOn, signal }: CompactOptions,
): Promise<Compacted | undefined> {
  const latest = latestOf(lease.head);
  if (!latest) return undefined;
  const version = await open(latest);
  const { packs, image, diskBytes, reason, parent } = version.manifest;
  const poor = planCompaction(version.manifest, { ...RULE, shared });
  if (poor.size === 0) return undefined;
  // A disk made from a version that was compacted goes on from the newest one, whatever became of those between.
  const contentsOf = reason === "compaction" ? parent : null;
  await using writer = createVersionWriter(
    { store, lease, clock, limitMs },
    { parent: version, image, diskBytes, ...(contentsOf && { contentsOf }) },
  );
  // Through no cache: what is moved would drive out what disks read.
  const records = recordsOf(store, lease.account);
  if (!(await moveOutOf(poor, { version, writer, records, mayGoOn, signal }))) return undefined;
  const keep = (versions: readonly HeadVersion[]) => keptVersions(versions);
  const published = await writer.publish({ reason: "compaction", keep, signal });
  const freedBytes = [...poor].reduce((sum, id) => {
    const use = packs.get(id);
    return sum + (use ? use.sizeBytes - use.storedBytes : 0);
  }, 0);
  return { version: published.version, packs: poor.size, freedBytes, sentBytes: published.sentBytes };
}
