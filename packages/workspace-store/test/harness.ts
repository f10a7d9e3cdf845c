/** A workspace on a store in memory, with a clock that the test moves. */
import { randomUUID } from "node:crypto";
import type { Clock } from "@mags/core";
import { createMemoryStore, type ObjectStore } from "@mags/object-store";
import {
  acquireLease,
  type BaseImage,
  CHUNK_BYTES,
  createVersionWriter,
  type HeadVersion,
  type Lease,
  latestOf,
  openVersion,
  type Published,
  readHead,
  recordsOf,
  type SyncReason,
  type VersionReader,
  type WorkspaceKey,
} from "../src/index.ts";

export const IMAGE = { name: "standard", digest: `sha256:${"0".repeat(64)}` };
export const HOUR_MS = 3_600_000;
export const { signal } = new AbortController();

export interface TestClock extends Clock {
  pass(ms: number): void;
}

export function createTestClock(): TestClock {
  let ms = Date.UTC(2026, 0, 1);
  const bootedAt = ms;
  return {
    now: () => new Date(ms),
    monotonicMs: () => ms - bootedAt,
    bootMs: () => ms - bootedAt,
    pass: (by) => {
      ms += by;
    },
  };
}

export interface TestStore {
  readonly store: ObjectStore;
  readonly account: string;
  readonly clock: TestClock;
  newKey(): WorkspaceKey;
  lease(key: WorkspaceKey, options?: { holder?: string; force?: boolean; ttlMs?: number }): Promise<Lease>;
  latest(key: WorkspaceKey): Promise<VersionReader | undefined>;
  open(key: WorkspaceKey, version: Pick<HeadVersion, "seq" | "sha256">): Promise<VersionReader>;
  /** Publishes chunks, by index, over the newest version. */
  publish(lease: Lease, chunks: ReadonlyMap<number, Buffer>, options?: PublishOptions): Promise<Published>;
}

export interface PublishOptions {
  readonly diskChunks?: number;
  readonly reason?: SyncReason;
  readonly keep?: number;
  readonly parent?: VersionReader | undefined;
  readonly image?: BaseImage;
}

export const DISK_CHUNKS = 2048;

export function createTestStore(store: ObjectStore = createMemoryStore()): TestStore {
  const clock = createTestClock();
  const account = randomUUID();
  const records = recordsOf(store, account);
  const open: TestStore["open"] = (key, name) => openVersion(store, key, { name, records, signal });
  async function latest(key: WorkspaceKey): Promise<VersionReader | undefined> {
    const stored = await readHead(store, key, { signal });
    const newest = stored && latestOf(stored.head);
    return newest && open(key, newest);
  }
  return {
    store,
    account,
    clock,
    newKey: () => ({ account, workspace: randomUUID() }),
    lease: (key, { holder = "node-a", force = false, ttlMs = HOUR_MS } = {}) =>
      acquireLease(store, key, { holder, force, ttlMs, clock, create: { name: "w", forked_from: null }, signal }),
    latest,
    open,
    async publish(lease, chunks, { diskChunks = DISK_CHUNKS, reason = "request", keep = 1000, ...options } = {}) {
      const parent = "parent" in options ? options.parent : await latest(lease);
      await using writer = createVersionWriter(
        { store, lease, clock },
        { parent, image: options.image ?? IMAGE, diskBytes: diskChunks * CHUNK_BYTES },
      );
      for (const [index, bytes] of [...chunks].toSorted(([a], [b]) => a - b)) await writer.put(index, bytes);
      return await writer.publish({ reason, keep: (versions) => versions.slice(-keep), signal });
    },
  };
}

/** A chunk whose contents follow from a number; 0 is zeros. Half of it compresses. */
export function chunkOf(seed: number): Buffer {
  const bytes = Buffer.alloc(CHUNK_BYTES);
  if (seed === 0) return bytes;
  let state = (seed * 2_654_435_761) >>> 0;
  for (let at = 0; at < CHUNK_BYTES / 2; at += 4) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    bytes.writeUInt32LE(state, at);
  }
  bytes.fill(seed & 0xff, CHUNK_BYTES / 2);
  return bytes;
}
