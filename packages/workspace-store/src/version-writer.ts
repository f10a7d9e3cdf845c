/**
 * Makes the next version of a workspace out of its parent and the chunks that changed. Nothing of it exists for
 * readers until `publish` has put the head. @see docs/formats/workspace-store.md, "Write order"
 */
import { AppError, type Clock } from "@mags/core";
import type { ObjectStore } from "@mags/object-store";
import { type HeadVersion, latestOf } from "./format/head.ts";
import type { BaseImage, Manifest, ParentVersion, SyncReason } from "./format/manifest.ts";
import { KIND } from "./format/pack.ts";
import { CHUNK_BYTES, isZero, type RecordRef, SEGMENT_CHUNKS, sha256Of } from "./format/records.ts";
import { encodeTable, type Table } from "./format/table.ts";
import type { VersionName } from "./keys.ts";
import type { Lease } from "./lease.ts";
import { createPackUploader } from "./pack-uploader.ts";
import { createPackUses } from "./pack-uses.ts";
import { type Published, publishManifest } from "./publish-manifest.ts";
import type { VersionReader } from "./version-reader.ts";

type Signal = { readonly signal: AbortSignal };

/** How long a writer may take where the collector removes what has been garbage for so long: it might take packs for that. */
export const writerLimitMs = (graceMs: number): number => graceMs / 2;
const DEFAULT_GRACE_MS = 24 * 3_600_000;
/** Records of this version that are found again when a chunk has the same contents: 4 GiB of a disk. */
const RECORDS_KNOWN = 65_536;

export interface VersionWriterDeps {
  readonly store: ObjectStore;
  readonly lease: Lease;
  readonly clock: Clock;
  /** A writer that takes longer gives up. Default: for a collector that waits for 24 hours. */
  readonly limitMs?: number;
  /** Told of each table that is made: whoever writes the next version needs most of them. */
  readonly onTable?: (ref: RecordRef, plain: Buffer) => Promise<void>;
}

export interface NewVersion {
  /** What it begins as; undefined for a disk of zeros. May be a version of another workspace of the account. */
  readonly parent: VersionReader | undefined;
  readonly image: BaseImage;
  /**
   * The newest version of the workspace that it follows, where that is not the parent: the store has lost it, and nothing
   * of it is used. Default: the parent.
   */
  readonly follows?: VersionName;
  /** What its manifest names as its parent, whose contents the parent has, too. Default: the parent. */
  readonly contentsOf?: ParentVersion;
  /** At least the parent's. */
  readonly diskBytes: number;
  /** Who it is made by. Default: the holder of the lease. */
  readonly writer?: string;
}

export interface VersionWriter {
  /**
   * Sets a chunk. Chunks come in ascending order, each at most once; those that never come are the parent's.
   * @param bytes  65 536 bytes; they are used before the call resolves and not afterwards. Null: zeros.
   * @throws AppError `unavailable` and others, by what the store says.
   */
  put(index: number, bytes: Buffer | null): Promise<void>;
  /**
   * Takes a chunk of the parent out of its pack into a new one. Ordered like `put`.
   * @param bytes  What the parent has there, used as by `put`.
   */
  move(index: number, bytes: Buffer): Promise<void>;
  /** Moves a table of the parent, in its turn. */
  moveTable(segment: number): Promise<void>;
  /** Chunks that differ from the parent's so far. */
  readonly changedChunks: number;
  /** Bytes that the store has taken so far. */
  readonly sentBytes: number;
  /**
   * @param keep  The retention rule: which versions stay listed. The newest always does.
   * @throws AppError `lease_lost`, also when the workspace has a newer version than the parent: nothing was published.
   */
  publish(
    options: Signal & {
      readonly reason: SyncReason;
      readonly keep?: (versions: readonly HeadVersion[]) => readonly HeadVersion[];
    },
  ): Promise<Published>;
  /** Ends uploads that are under way. */
  [Symbol.asyncDispose](): Promise<void>;
}

interface OpenSegment {
  readonly segment: number;
  readonly before: Table;
  readonly after: Map<number, RecordRef>;
  changed: boolean;
}

export function createVersionWriter(deps: VersionWriterDeps, version: NewVersion): VersionWriter {
  const { store, lease, clock, limitMs = writerLimitMs(DEFAULT_GRACE_MS), onTable } = deps;
  const { parent, image, diskBytes } = version;
  if (diskBytes % CHUNK_BYTES !== 0) throw new RangeError(`a disk of ${diskBytes} bytes has no whole chunks`);
  if (parent && diskBytes < parent.manifest.diskBytes) throw new RangeError("a disk does not shrink");
  const ending = new AbortController();
  const { signal } = ending;
  const uploader = createPackUploader(store, { account: lease.account, signal });
  const uses = createPackUses(parent?.manifest.packs ?? new Map());
  const tables = new Map(parent?.manifest.tables);
  const known = new Map<string, RecordRef>();
  const begunMs = clock.bootMs();
  let open: OpenSegment | undefined;
  let last = -1;
  let dataChunks = (parent?.manifest.dataBytes ?? 0) / CHUNK_BYTES;
  let changedChunks = 0;

  async function segmentOf(index: number): Promise<OpenSegment> {
    const segment = Math.floor(index / SEGMENT_CHUNKS);
    if (open?.segment === segment) return open;
    await closeSegment();
    const before = (await parent?.table(segment, { signal })) ?? new Map<number, RecordRef>();
    open = { segment, before, after: new Map(before), changed: false };
    return open;
  }

  async function closeSegment(): Promise<void> {
    const closing = open;
    open = undefined;
    if (!closing?.changed) return;
    const { segment, after } = closing;
    const old = tables.get(segment);
    if (old) uses.drop(old);
    tables.delete(segment);
    if (after.size === 0) return;
    const plain = encodeTable(after);
    const table = await uploader.add(KIND.table, plain);
    await onTable?.(table, plain);
    uses.add(table);
    tables.set(segment, table);
  }

  function next(index: number): void {
    if (index <= last || index >= diskBytes / CHUNK_BYTES)
      throw new RangeError(`chunk ${index} is not one that follows chunk ${last} of ${diskBytes / CHUNK_BYTES}`);
    last = index;
  }

  function set(at: OpenSegment, { place, ref }: { readonly place: number; readonly ref: RecordRef | undefined }): void {
    const old = at.after.get(place);
    if (old) uses.drop(old);
    if (ref) {
      uses.add(ref);
      at.after.set(place, ref);
    } else {
      at.after.delete(place);
    }
    dataChunks += (ref ? 1 : 0) - (old ? 1 : 0);
    at.changed = true;
  }

  async function stored(bytes: Buffer, sha256: string): Promise<RecordRef> {
    const same = known.get(sha256);
    if (same) return same;
    const ref = await uploader.add(KIND.chunk, bytes, sha256);
    if (known.size < RECORDS_KNOWN) known.set(sha256, ref);
    return ref;
  }

  function named(): ParentVersion | null {
    if (version.contentsOf || !parent) return version.contentsOf ?? null;
    const { workspace } = parent.manifest;
    return { ...parent.name, ...(workspace === lease.workspace ? {} : { workspace }) };
  }

  function manifestOf(seq: number, reason: SyncReason): Manifest {
    const packs = uses.finish(uploader.packs);
    let storedBytes = 0;
    for (const use of packs.values()) storedBytes += use.storedBytes;
    return {
      account: lease.account,
      workspace: lease.workspace,
      seq,
      parent: named(),
      writer: version.writer ?? lease.holder,
      generation: lease.generation,
      createdAt: clock.now(),
      reason,
      image,
      diskBytes,
      dataBytes: dataChunks * CHUNK_BYTES,
      storedBytes,
      packs,
      tables,
    };
  }

  return {
    get changedChunks() {
      return changedChunks;
    },
    get sentBytes() {
      return uploader.sent.bytes;
    },
    async put(index, bytes) {
      next(index);
      if (bytes && bytes.length !== CHUNK_BYTES) throw new RangeError(`a chunk of ${bytes.length} bytes`);
      const at = await segmentOf(index);
      const place = index % SEGMENT_CHUNKS;
      const old = at.before.get(place);
      if (!bytes || isZero(bytes)) {
        if (!old) return;
        changedChunks++;
        set(at, { place, ref: undefined });
        return;
      }
      const sha256 = sha256Of(bytes);
      if (old?.sha256 === sha256) return;
      changedChunks++;
      set(at, { place, ref: await stored(bytes, sha256) });
    },
    async move(index, bytes) {
      next(index);
      const at = await segmentOf(index);
      const place = index % SEGMENT_CHUNKS;
      const old = at.before.get(place);
      if (!old) throw new RangeError(`the parent has no chunk ${index}`);
      set(at, { place, ref: await stored(bytes, old.sha256) });
    },
    async moveTable(segment) {
      const at = await segmentOf(segment * SEGMENT_CHUNKS);
      at.changed = at.before.size > 0;
    },
    async publish({ reason, keep = (versions) => versions, signal: publishing }) {
      await closeSegment();
      await uploader.flush();
      const latest = latestOf(lease.head)?.seq ?? 0;
      const own = version.follows?.seq ?? (parent?.manifest.workspace === lease.workspace ? parent.name.seq : 0);
      if (own !== latest && reason !== "restore")
        throw new AppError("lease_lost", `workspace ${lease.workspace} is at version ${latest}, not ${own} any more`);
      const manifest = manifestOf(latest + 1, reason);
      return await publishManifest({ store, lease }, manifest, {
        ...{ sent: uploader.sent, keep, signal: publishing },
        mustBeInTime() {
          if (clock.bootMs() - begunMs <= limitMs) return;
          throw new AppError(
            "unavailable",
            `a version of workspace ${lease.workspace} took longer to write than the ${limitMs / 60_000} min after which the collector might remove parts of it`,
          );
        },
      });
    },
    async [Symbol.asyncDispose]() {
      ending.abort(new AppError("unavailable", "the version was given up"));
      await uploader.settled();
    },
  };
}
