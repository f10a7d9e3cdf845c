/**
 * Writes workspaces: holds the leases of this node, publishes versions, and does what needs no disk. One thing at a
 * time for each workspace.
 */
import { AppError, type Clock, createGate, type Gate, isAppError, type Logger, messageOf } from "@mags/core";
import type { ObjectStore } from "@mags/object-store";
import {
  acquireLease,
  type BaseImage,
  CHUNK_BYTES,
  collect,
  createVersionWriter,
  deleteWorkspace,
  type HeadVersion,
  keptVersions,
  type Lease,
  latestOf,
  openVersion,
  type RecordSource,
  readHead,
  surveyAccount,
  type VersionWriter,
  type WorkspaceKey,
} from "@mags/workspace-store";
import type { BlockServerCalls, SyncCall, SyncResult, VersionKey } from "../calls.ts";
import type { Images } from "../images.ts";
import { type CompactOptions, compactWorkspace, packsToGiveUp } from "./compact-workspace.ts";
import { findParent } from "./find-parent.ts";
import { readChanges } from "./read-changes.ts";

type Signal = { readonly signal: AbortSignal };
type Call<Name extends keyof BlockServerCalls> = (
  params: Parameters<BlockServerCalls[Name]>[0],
  options: Signal,
) => ReturnType<BlockServerCalls[Name]>;

export interface Workspaces extends AsyncDisposable {
  readonly sync: Call<"sync">;
  readonly release: Call<"release">;
  readonly versions: Call<"versions">;
  readonly restore: Call<"restore">;
  readonly remove: Call<"remove">;
  readonly workspaces: Call<"workspaces">;
  readonly collect: Call<"collect">;
}

export interface WorkspacesDeps {
  readonly store: ObjectStore;
  readonly records: (account: string) => RecordSource;
  readonly images: Pick<Images, "keep" | "wasKept">;
  /** Who holds the leases: this node. */
  readonly holder: string;
  readonly graceMs: number;
  readonly clock: Clock;
  readonly log: Logger;
}

const LEASE_MS = 10 * 60_000;
const ZERO_CHUNK = Buffer.alloc(CHUNK_BYTES);

export function createWorkspaces(deps: WorkspacesDeps): Workspaces {
  const { store, records, images, holder, clock, log } = deps;
  const leases = new Map<string, Lease>();
  const turns = new Map<string, Gate>();
  const ending = new AbortController();

  async function inTurn<T>({ workspace }: WorkspaceKey, { signal }: Signal, work: () => Promise<T>): Promise<T> {
    const gate = turns.get(workspace) ?? createGate(1);
    turns.set(workspace, gate);
    const leave = await gate.enter({ signal });
    try {
      return await work();
    } finally {
      leave();
      if (gate.inside === 0 && gate.waiting === 0) turns.delete(workspace);
    }
  }

  /** What fails because another has the lease is not tried with it again. */
  async function withLease<T>(
    key: WorkspaceKey,
    options: Signal & { readonly create?: Pick<SyncCall, "name" | "forkedFrom"> },
    work: (lease: Lease) => Promise<T>,
  ): Promise<T> {
    const { signal, create } = options;
    try {
      const lease =
        leases.get(key.workspace) ??
        (await acquireLease(store, key, {
          ...{ holder, ttlMs: LEASE_MS, clock, signal },
          ...(create && { create: { name: create.name, forked_from: create.forkedFrom } }),
        }));
      leases.set(key.workspace, lease);
      return await work(lease);
    } catch (error) {
      if (isAppError(error, "lease_lost")) leases.delete(key.workspace);
      throw error;
    }
  }

  const baseImageOf = ({ image: { name, digest } }: SyncCall): BaseImage => ({ name, digest });
  const writerOf = ({ disk }: SyncCall) => `${holder}/${disk}`;

  const open = (key: VersionKey, { signal }: Signal) =>
    openVersion(store, key, { name: key.version, records: records(key.account), signal });

  async function write(call: SyncCall, writer: VersionWriter, { signal }: Signal): Promise<void> {
    for await (const { firstChunk, chunkCount, bytes } of readChanges(call.source, {
      diskBytes: call.diskBytes,
      signal,
    }))
      for (let i = 0; i < chunkCount; i++)
        await writer.put(firstChunk + i, bytes?.subarray(i * CHUNK_BYTES, (i + 1) * CHUNK_BYTES) ?? ZERO_CHUNK);
  }

  async function sync(call: SyncCall, options: Signal): Promise<SyncResult> {
    return await withLease(call, { ...options, create: call }, async (lease) => {
      const { reader: parent, isNamed } = await findParent(call, {
        ...{ head: lease.head, writer: writerOf(call), open: (key) => open(key, options) },
      });
      // Of changes since another version than the one that was found nothing is known.
      const bitmap = isNamed ? call.source.bitmap : null;
      await using writer = createVersionWriter(
        { store, lease, clock },
        { parent, image: baseImageOf(call), diskBytes: call.diskBytes, writer: writerOf(call) },
      );
      await write({ ...call, source: { ...call.source, bitmap } }, writer, options);
      const latest = latestOf(lease.head);
      const unchanged =
        writer.changedChunks === 0 &&
        latest !== undefined &&
        latest.sha256 === parent?.name.sha256 &&
        latest.disk_bytes === call.diskBytes;
      if (unchanged) return { version: latest, changedBytes: 0, sentBytes: 0, puts: 0 };
      // While there is a parent that names the image the store keeps it.
      const isSure = parent?.manifest.image.digest === call.image.digest && images.wasKept(call.image.digest);
      if (!isSure) await images.keep(call.image, options);
      const changedBytes = writer.changedChunks * CHUNK_BYTES;
      const { version, sentBytes, puts } = await writer.publish({
        reason: call.reason,
        keep: (versions) => keptVersions(versions, clock.now()),
        ...options,
      });
      return { version, changedBytes, sentBytes, puts };
    });
  }

  /** Not while another node may write it, nor one whose lease ran out: it may only be slow. */
  async function compact(key: WorkspaceKey, { shared, signal }: CompactOptions): Promise<void> {
    const read = { open: (version: HeadVersion) => open({ ...key, version }, { signal }) };
    await inTurn(key, { signal }, async () => {
      const head = (await readHead(store, key, { signal }))?.head;
      if (head?.state !== "live" || (head.lease !== null && head.lease.holder !== holder)) return;
      if ((await packsToGiveUp(read, head, { shared })).size === 0) return;
      const isOpen = leases.has(key.workspace);
      await withLease(key, { signal }, async (lease) => {
        try {
          const done = await compactWorkspace({ store, clock, ...read }, lease, { shared, signal });
          if (done) log.info("blocks.compacted", { ...key, ...done, version: done.version.seq });
        } finally {
          if (!isOpen && leases.delete(key.workspace)) await lease.release({ signal });
        }
      });
    });
  }

  /** Leases that are still used are kept up; one that was lost is noticed by its next sync. */
  async function renew(): Promise<void> {
    for (const lease of [...leases.values()]) {
      if (lease.expiresAt.getTime() - clock.now().getTime() > LEASE_MS / 2) continue;
      const options = { signal: AbortSignal.any([AbortSignal.timeout(LEASE_MS / 4), ending.signal]) };
      await inTurn(lease, options, () => lease.update((head) => head, options)).catch((error: unknown) => {
        if (isAppError(error, "lease_lost")) leases.delete(lease.workspace);
        if (!ending.signal.aborted)
          log.warn("blocks.lease_not_renewed", { workspace: lease.workspace, error: messageOf(error) });
      });
    }
  }
  const renewing = setInterval(() => void renew(), LEASE_MS / 10).unref();

  return {
    sync: (call, options) => inTurn(call, options, () => sync(call, options)),
    release: (key, options) =>
      inTurn(key, options, async () => {
        const lease = leases.get(key.workspace);
        leases.delete(key.workspace);
        await lease?.release(options).catch((error: unknown) => {
          if (!isAppError(error, "lease_lost")) throw error;
        });
        return null;
      }),
    async versions(key, options): Promise<readonly HeadVersion[]> {
      const stored = await readHead(store, key, options);
      if (stored?.head.state !== "live")
        throw new AppError("workspace_not_found", `the store has no workspace ${key.workspace}`);
      return stored.head.versions;
    },
    restore: (key, options) =>
      inTurn(key, options, () =>
        withLease(key, options, async (lease) => {
          const parent = await open(key, options);
          const { image, diskBytes } = parent.manifest;
          await using writer = createVersionWriter({ store, lease, clock }, { parent, image, diskBytes });
          const keep = (versions: readonly HeadVersion[]) => keptVersions(versions, clock.now());
          return (await writer.publish({ reason: "restore", keep, ...options })).version;
        }),
      ),
    remove: (key, options) =>
      inTurn(key, options, async () => {
        leases.delete(key.workspace);
        await deleteWorkspace(store, key, { clock, ...options }).catch((error: unknown) => {
          if (!isAppError(error, "workspace_not_found")) throw error;
        });
        return null;
      }),
    async workspaces({ account }, options) {
      const { heads, unreadable, versions } = await surveyAccount(store, { account, ...options });
      return [...new Set([...heads.keys(), ...unreadable.keys(), ...versions.map(({ workspace }) => workspace)])];
    },
    async collect({ account, pinned }, options) {
      const pins = new Map(Object.entries(pinned));
      const { removed, removedBytes, waiting, unreadable, sharedPacks } = await collect(store, {
        account,
        graceMs: deps.graceMs,
        clock,
        pinned: async (workspace) => pins.get(workspace) ?? [],
        ...options,
      });
      for (const object of unreadable) log.error("blocks.object_unreadable", { account, ...object });
      for (const workspace of pins.keys())
        await compact({ account, workspace }, { shared: sharedPacks, ...options }).catch((error: unknown) => {
          if (options.signal.aborted) throw error;
          log.warn("blocks.not_compacted", { account, workspace, error: messageOf(error) });
        });
      return { removed: removed.length, removedBytes, waiting, unreadable: unreadable.length };
    },
    async [Symbol.asyncDispose]() {
      clearInterval(renewing);
      ending.abort(new AppError("unavailable", "the block server ends"));
    },
  };
}
