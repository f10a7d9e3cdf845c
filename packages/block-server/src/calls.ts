/** What a node asks of its block server. Both are of one build: another build is asked to end, and started anew. */
import type { VersionDiff } from "@mags/workspace-files";
import type { BaseImage, HeadVersion, ImageFiles, SyncReason, VersionName, WorkspaceKey } from "@mags/workspace-store";

export interface VersionKey extends WorkspaceKey {
  readonly version: VersionName;
}

/** How much of a disk an NBD export shows, and what of it is to be read. */
export interface DiskSource {
  /** Path of a unix socket. */
  readonly socket: string;
  readonly exportName: string;
  /**
   * Name of the bitmap with what changed since the parent. Null: all that the disk has is compared with the parent.
   */
  readonly bitmap: string | null;
}

/** A workspace with what its head says of it. */
export interface NamedKey extends WorkspaceKey {
  readonly name: string;
  readonly forkedFrom: { readonly workspace: string; readonly name: string; readonly seq: number } | null;
}

export interface SyncCall extends NamedKey {
  readonly image: ImageFiles;
  /** Names the disk, of all that this node has and had. */
  readonly disk: string;
  readonly diskBytes: number;
  readonly reason: SyncReason;
  /** What the disk was made from, or last published as; null: nothing but zeros. */
  readonly parent: VersionKey | null;
  readonly source: DiskSource;
  /** The guest runs: the disk is read no faster than leaves it its own share. */
  readonly paced: boolean;
}

export interface RestoreCall extends VersionKey, NamedKey {
  /** The newest version, as far as its caller knows: nothing later is covered up. */
  readonly newest: VersionName;
}

/** How far a sync is. */
export interface SyncProgress {
  /** Of the disk. */
  readonly readBytes: number;
  /** What is to be read in all; 0 while that is not known. */
  readonly totalBytes: number;
  /** What the store has taken. */
  readonly sentBytes: number;
}

export interface SyncResult {
  /** A new one, or the newest where nothing has changed since. */
  readonly version: HeadVersion;
  /**
   * False: it has the same files as the disk, which differs in what its file system notes of itself. No bitmap has that beside
   * the one that was given: the next sync needs all that it has.
   */
  readonly isDisk: boolean;
  readonly changedBytes: number;
  readonly sentBytes: number;
  readonly puts: number;
  /** Why all of the disk was compared although it was known what had changed, for people; else null. */
  readonly missing: string | null;
}

export interface GarbageCount {
  readonly removed: number;
  readonly removedBytes: number;
  readonly waiting: number;
  /** Objects that are damaged or lost, each told of in the log: what they may need was left alone. */
  readonly unreadable: number;
}

export interface CollectedAccount extends GarbageCount {
  /** The newest version of each workspace of which that is a compaction, whenever it was made. */
  readonly compacted: Readonly<Record<string, HeadVersion>>;
}

export interface DiffCall extends WorkspaceKey {
  readonly before: VersionName;
  readonly after: VersionName;
  /** Most changes that are given. */
  readonly limit: number;
  /** Path of a change, to go on behind it; null: from the beginning. */
  readonly from: string | null;
}

/** Something of a version that is proven to be damaged, or lost. */
export interface Damage {
  /** Rises from 1 on, in one process. */
  readonly number: number;
  /** Under which the version is served to who met it. */
  readonly id: string;
  readonly version: VersionKey;
  /** Bytes of the disk in which it lies. */
  readonly offset: number;
  readonly length: number;
  /** For people. */
  readonly reason: string;
  /** Numbers of versions of that workspace that can be read there, the newest first. */
  readonly sound: readonly number[];
}

export interface BlockServerCalls {
  hello(params: Record<string, never>): Promise<{ readonly build: string; readonly pid: number }>;
  /** Is answered when it ends: who waits for it knows at once. */
  watch(params: Record<string, never>): Promise<null>;
  /**
   * Is answered as soon as there is damage of a higher number than `heard`; what is found again and again in
   * one pack is told once for each id, and of 50 packs at most. Of what was heard nothing is kept.
   */
  damages(params: { readonly heard: number }): Promise<readonly Damage[]>;
  /** Ends it soon. Who reads from it waits for the next one. */
  quit(params: Record<string, never>): Promise<null>;
  /**
   * Serves a version, read only, on a socket that it makes; until `unserve`, over its own restarts. Repeating it makes the
   * socket anew.
   */
  serve(params: {
    readonly id: string;
    readonly version: VersionKey;
    readonly socket: string;
    readonly uid: number;
  }): Promise<{ readonly diskBytes: number; readonly image: BaseImage }>;
  unserve(params: { readonly id: string }): Promise<null>;
  /**
   * Copies what is served under that id to the disk that stands on it, which QEMU exports with its allocation depths: all
   * of it is on stable storage there when it is answered. May be given up and repeated, and goes on then.
   * @returns bytes that this call has copied, and that the version has.
   * @throws AppError `unavailable`; `chunk_corrupt` or `store_corrupt` when part of it is damaged, with all the rest on the
   * disk. What was copied stays.
   */
  hydrate(params: {
    readonly id: string;
    readonly source: Pick<DiskSource, "socket" | "exportName">;
    /** Of all of these calls together. */
    readonly bytesPerSecond: number;
  }): Promise<{ readonly copiedBytes: number; readonly dataBytes: number }>;
  /** Ids of what is to be served, also where that did not succeed. */
  served(params: Record<string, never>): Promise<readonly string[]>;
  /** What a disk needs that stands on a version. @throws AppError `version_not_found`. */
  imageOf(params: VersionKey): Promise<BaseImage>;
  /**
   * Resolves when the store has the image whole, and will have it while a version is published. The first time that sends
   * all of it; it goes on when its caller has gone.
   */
  keepImage(params: { readonly image: ImageFiles }): Promise<null>;
  /**
   * Writes an image of the store into two files, both proven; without certificates only the first.
   * @throws AppError `store_corrupt` or `chunk_corrupt` when the store does not have it whole, `disk_full`.
   */
  fetchImage(params: {
    readonly digest: string;
    readonly disk: string;
    readonly caBundle: string;
  }): Promise<{ readonly diskBytes: number; readonly caBundlePath: string | null }>;
  collectImages(params: Record<string, never>): Promise<GarbageCount>;
  /** @throws AppError `lease_lost`, `lease_held`, `unavailable` and what a store says; nothing was published then. */
  sync(params: SyncCall): Promise<SyncResult>;
  /** Of the sync of a workspace that is under way; null when none is. */
  progress(params: WorkspaceKey): Promise<SyncProgress | null>;
  /** Gives the right to write a workspace back. */
  release(params: WorkspaceKey): Promise<null>;
  /** Also where the head is lost: those that are there. @throws AppError `workspace_not_found`, `store_corrupt`. */
  versions(params: WorkspaceKey): Promise<readonly HeadVersion[]>;
  /**
   * Files that changed between two versions of a workspace. Two run at a time, others wait.
   * @throws AppError `validation_failed`, `not_supported` for a file system that cannot be read.
   */
  diff(params: DiffCall): Promise<VersionDiff>;
  /**
   * As `versions`, when nothing that was begun before can be published any more, also what its caller gave up. A head that
   * is lost is written anew.
   */
  settle(params: NamedKey): Promise<readonly HeadVersion[]>;
  /** May be repeated. A head that is lost is written anew. @throws AppError `workspace_in_use` when there is a newer version than its caller knows. */
  restore(params: RestoreCall): Promise<HeadVersion>;
  /** Repeating it is harmless. @throws AppError `store_corrupt` where the head is damaged: nothing is removed then. */
  remove(params: WorkspaceKey): Promise<null>;
  /** Workspaces of an account that have anything in the store. */
  workspaces(params: { readonly account: string }): Promise<readonly string[]>;
  collect(params: {
    readonly account: string;
    /** Versions that something stands on, or may come to, by workspace. Those in use that take too much are compacted. */
    readonly pinned: Readonly<Record<string, readonly VersionName[]>>;
  }): Promise<CollectedAccount>;
}

export type CallName = keyof BlockServerCalls;
export const EXPORT_NAME = "disk";

export type ParamsOf<Name extends CallName> = Parameters<BlockServerCalls[Name]>[0];
export type ResultOf<Name extends CallName> = Awaited<ReturnType<BlockServerCalls[Name]>>;

/** A call by its name. */
export type Caller = <Name extends CallName>(
  name: Name,
  params: ParamsOf<Name>,
  options: { readonly signal: AbortSignal },
) => Promise<ResultOf<Name>>;
