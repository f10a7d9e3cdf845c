/** Reads one version of a workspace: its tables as they are asked for, its chunks through a {@link RecordSource}. */
import { AppError, isAppError } from "@mags/core";
import type { ObjectStore } from "@mags/object-store";
import { decodeManifest, type Manifest } from "./format/manifest.ts";
import { CHUNK_BYTES, type RecordRef, SEGMENT_CHUNKS } from "./format/records.ts";
import { decodeTable, type Table } from "./format/table.ts";
import { type VersionName, versionKey, type WorkspaceKey } from "./keys.ts";
import type { RecordSource } from "./record-source.ts";
import { createTableCache } from "./table-cache.ts";

type Signal = { readonly signal: AbortSignal };

export interface VersionReader {
  readonly name: VersionName;
  readonly manifest: Manifest;
  readonly chunkCount: number;
  /** The stored chunks of a segment; empty where all is zeros. */
  table(segment: number, options: Signal): Promise<Table>;
  /** Where a chunk lies; undefined for zeros. */
  chunk(index: number, options: Signal): Promise<RecordRef | undefined>;
  /**
   * Bytes of the disk, from any offset to at most its end. May run concurrently.
   * @throws AppError `chunk_corrupt`.
   */
  read(offset: number, length: number, options: Signal): Promise<Buffer>;
}

/** A manifest as it stands in the store. @throws AppError `version_not_found`. */
export async function fetchManifest(
  store: ObjectStore,
  key: WorkspaceKey,
  { name, signal }: Signal & { readonly name: VersionName },
): Promise<Buffer> {
  try {
    return (await store.get(versionKey(key, name), { signal })).bytes;
  } catch (error) {
    if (isAppError(error, "object_not_found"))
      throw new AppError("version_not_found", `the store has no version ${name.seq} of workspace ${key.workspace}`, {
        cause: error,
      });
    throw error;
  }
}

/** @throws AppError `version_not_found`, `store_corrupt`. */
export async function readManifest(
  store: ObjectStore,
  key: WorkspaceKey,
  options: Signal & { readonly name: VersionName },
): Promise<Manifest> {
  return decodeManifest(await fetchManifest(store, key, options), options.name);
}

export async function openVersion(
  store: ObjectStore,
  key: WorkspaceKey,
  { name, records, signal }: Signal & { readonly name: VersionName; readonly records: RecordSource },
): Promise<VersionReader> {
  return createVersionReader({ name, manifest: await readManifest(store, key, { name, signal }), records });
}

/** Chunks in tables that a reader keeps of its own: of 4 GiB of a disk. */
const CHUNKS_KEPT = 128 * SEGMENT_CHUNKS;

export function createVersionReader(version: {
  readonly name: VersionName;
  readonly manifest: Manifest;
  readonly records: RecordSource;
}): VersionReader {
  const { name, manifest, records } = version;
  const tables = records.tables ?? createTableCache({ maxChunks: CHUNKS_KEPT });

  async function table(segment: number, options: Signal): Promise<Table> {
    const ref = manifest.tables.get(segment);
    if (!ref) return new Map();
    const kept = tables.get(ref.sha256);
    if (kept) return kept;
    const read = decodeTable(await records.get(ref, options));
    tables.put(ref.sha256, read);
    return read;
  }

  async function chunk(index: number, options: Signal): Promise<RecordRef | undefined> {
    return (await table(Math.floor(index / SEGMENT_CHUNKS), options)).get(index % SEGMENT_CHUNKS);
  }

  return {
    name,
    manifest,
    chunkCount: manifest.diskBytes / CHUNK_BYTES,
    table,
    chunk,
    async read(offset, length, options) {
      if (offset < 0 || length < 0 || offset + length > manifest.diskBytes)
        throw new RangeError(`bytes ${offset} to ${offset + length} are not all on a disk of ${manifest.diskBytes}`);
      const first = Math.floor(offset / CHUNK_BYTES);
      const end = Math.ceil((offset + length) / CHUNK_BYTES);
      const refs: [number, RecordRef][] = [];
      for (let index = first; index < end; index++) {
        const ref = await chunk(index, options);
        if (ref) refs.push([index, ref]);
      }
      const plain = await records.getAll(
        refs.map(([, ref]) => ref),
        options,
      );
      const bytes = Buffer.alloc(length);
      for (const [i, [index]] of refs.entries()) {
        const at = index * CHUNK_BYTES - offset;
        plain[i]?.copy(bytes, Math.max(at, 0), Math.max(-at, 0));
      }
      return bytes;
    },
  };
}
