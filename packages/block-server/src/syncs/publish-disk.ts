/** Publishes what a disk holds as the next version of a workspace. */
import type { Clock, Logger } from "@mags/core";
import type { ObjectStore } from "@mags/object-store";
import { hasSameFiles } from "@mags/workspace-files";
import {
  CHUNK_BYTES,
  createVersionWriter,
  keptVersions,
  type Lease,
  latestOf,
  openVersion,
  type RecordRef,
  SEGMENT_CHUNKS,
  type VersionReader,
  type VersionWriter,
  withReadableTables,
} from "@mags/workspace-store";
import type { CachedRecords } from "../cache/cached-records.ts";
import type { SyncCall, SyncProgress, SyncResult, VersionKey } from "../calls.ts";
import { isDamage } from "../exports/damages.ts";
import { createPace } from "../exports/pace.ts";
import type { Images } from "../images.ts";
import { type FoundParent, findParent } from "./find-parent.ts";
import { type ChangedExtent, readChanges } from "./read-changes.ts";

export interface PublishDeps {
  readonly store: ObjectStore;
  readonly records: (account: string) => CachedRecords;
  readonly images: Pick<Images, "keep" | "wasKept">;
  readonly holder: string;
  /** How long a sync may take. */
  readonly limitMs: number;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Of the disk of a guest that runs: what it reads and writes itself comes from the same disk. */
const BYTES_PER_SECOND = 128 << 20;
/** Of a sync, not held back: what changes in half a minute as a rule. */
const UNPACED_BYTES = 32 << 20;
const SEGMENT_BYTES = SEGMENT_CHUNKS * CHUNK_BYTES;

export const openKey = (
  { store, records }: Pick<PublishDeps, "store" | "records">,
  key: VersionKey,
  { signal }: { readonly signal: AbortSignal },
) => openVersion(store, key, { name: key.version, records: records(key.account), signal });

interface PublishOptions {
  readonly lease: Lease;
  /** Told again and again how far it is. */
  readonly onProgress: (progress: SyncProgress) => void;
  readonly signal: AbortSignal;
}

export async function publishDisk(deps: PublishDeps, call: SyncCall, options: PublishOptions): Promise<SyncResult> {
  const { lease, signal } = options;
  const open = (key: VersionKey) => openKey(deps, key, { signal });
  const writer = writerOf(deps, call);
  const found = await findParent(call, { head: lease.head, writer, open });
  if (found.missing !== null) tell(deps, call, found.missing);
  try {
    return await publishOver(found, { deps, call, ...options });
  } catch (error) {
    if (!found.reader || !isDamage(error)) throw error;
    const records = deps.records(call.account);
    const { reader, lost, isWhole } = await withReadableTables(found.reader, { records, signal });
    if (isWhole) throw error;
    const what =
      lost === 0
        ? "does not list rightly what it uses"
        : `has lists of chunks that are damaged or not in the object store any more, ${lost} of them`;
    const missing = `version ${reader.name.seq} ${what}: all of the disk was compared`;
    tell(deps, call, missing);
    return await publishOver({ ...found, reader, isNamed: false, isRest: true, missing }, { deps, call, ...options });
  }
}

const writerOf = ({ holder }: PublishDeps, { disk }: SyncCall) => `${holder}/${disk}`;
const tell = ({ log }: PublishDeps, { workspace }: SyncCall, reason: string) =>
  log.warn("blocks.parent_missing", { workspace, reason });

/** @param found.isRest  The reader has not all that the version of its name has. */
async function publishOver(
  found: FoundParent & { readonly isRest?: true },
  { deps, call, ...options }: PublishOptions & { readonly deps: PublishDeps; readonly call: SyncCall },
): Promise<SyncResult> {
  const { reader, isNamed, follows, isRest = false, missing } = found;
  const { store, limitMs, clock } = deps;
  const { lease, onProgress, signal } = options;
  const records = deps.records(call.account);
  // Of changes since another version than the one that was found nothing is known.
  const bitmap = isNamed ? call.source.bitmap : null;
  const { diskBytes } = call;
  const image = { name: call.image.name, digest: call.image.digest };
  await using writer = createVersionWriter(
    // The next sync needs the tables of this one.
    { store, lease, clock, limitMs, onTable: (ref, plain) => records.keep(ref, plain) },
    { parent: reader, image, diskBytes, writer: writerOf(deps, call), ...(follows && { follows }) },
  );
  const onFound = (changed: readonly ChangedExtent[]) => {
    if (reader) records.prefetch(tablesOf(reader, changed));
  };
  const source = { ...call.source, bitmap };
  const { onlyStart } = await write({ ...call, source }, { writer, onFound, onProgress, signal });
  const latest = latestOf(lease.head);
  const isLatest =
    !isRest && latest !== undefined && latest.sha256 === reader?.name.sha256 && latest.disk_bytes === diskBytes;
  const isDisk = writer.changedChunks === 0;
  const isSame = async () =>
    isDisk ||
    // Without a bitmap nothing would tell the next sync that these bytes are still to be sent.
    (bitmap !== null && reader && onlyStart && (await isSameButForNotes(reader, onlyStart, { signal })));
  if (isLatest && (await isSame())) return { version: latest, isDisk, changedBytes: 0, sentBytes: 0, puts: 0, missing };
  // While there is a parent that names the image the store keeps it.
  const isSure = reader?.manifest.image.digest === image.digest && deps.images.wasKept(image.digest);
  if (!isSure) await deps.images.keep(call.image, { signal });
  const changedBytes = writer.changedChunks * CHUNK_BYTES;
  const { version, sentBytes, puts } = await writer.publish({
    reason: call.reason,
    keep: (versions) => keptVersions(versions),
    signal,
  });
  return { version, isDisk: true, changedBytes, sentBytes, puts, missing };
}

/** Of a disk whose first chunk alone differs from the parent's. */
async function isSameButForNotes(
  parent: VersionReader,
  start: Buffer,
  { signal }: { readonly signal: AbortSignal },
): Promise<boolean> {
  try {
    return await hasSameFiles(parent, start, { signal });
  } catch (error) {
    if (isDamage(error)) return false; // a version that has this chunk anew is what helps
    throw error;
  }
}

/** @returns `onlyStart`: the first chunk, when it is all that differs from the parent. */
async function write(
  { source, diskBytes, paced }: SyncCall,
  {
    writer,
    onFound,
    onProgress,
    signal,
  }: {
    readonly writer: VersionWriter;
    readonly onFound: (found: readonly ChangedExtent[]) => void;
    readonly onProgress: (progress: SyncProgress) => void;
    readonly signal: AbortSignal;
  },
): Promise<{ readonly onlyStart: Buffer | null }> {
  const pace = createPace();
  let askedBytes = 0;
  let start: Buffer | null = null;
  let readBytes = 0;
  let totalBytes = 0;
  const tell = () => onProgress({ readBytes, totalBytes, sentBytes: writer.sentBytes });
  const runs = readChanges(source, {
    diskBytes,
    signal,
    async pace(bytes) {
      askedBytes += bytes;
      if (paced && askedBytes > UNPACED_BYTES) await pace.take(bytes, { bytesPerSecond: BYTES_PER_SECOND, signal });
    },
    onFound(found) {
      for (const { length, zero } of found) totalBytes += zero ? 0 : length;
      tell();
      onFound(found);
    },
  });
  for await (const { firstChunk, chunkCount, bytes } of runs) {
    for (let i = 0; i < chunkCount; i++) {
      const chunk = bytes?.subarray(i * CHUNK_BYTES, (i + 1) * CHUNK_BYTES) ?? null;
      await writer.put(firstChunk + i, chunk);
      if (firstChunk + i === 0 && chunk && writer.changedChunks > 0) start = Buffer.from(chunk);
    }
    readBytes += bytes?.length ?? 0;
    tell();
  }
  return { onlyStart: writer.changedChunks === 1 ? start : null };
}

/** Where the tables lie that list what a version has in these places. */
function tablesOf({ manifest }: VersionReader, found: readonly ChangedExtent[]): RecordRef[] {
  const segments = new Set<number>();
  for (const { offset, length } of found) {
    const last = Math.floor((offset + length - 1) / SEGMENT_BYTES);
    for (let segment = Math.floor(offset / SEGMENT_BYTES); segment <= last; segment++) segments.add(segment);
  }
  return [...segments].map((segment) => manifest.tables.get(segment)).filter((ref) => ref !== undefined);
}
