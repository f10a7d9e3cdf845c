/** The object store of a simulated node: what was published of workspaces, and who may publish. */
import { createHash } from "node:crypto";
import { AppError } from "@mags/core";
import type {
  AccountId,
  SandboxId,
  SyncReason,
  SyncTarget,
  VersionName,
  VersionRef,
  WorkspaceId,
  WorkspaceRef,
  WorkspaceRuntime,
  WorkspaceVersion,
} from "@mags/domain";

/** A collection, and the versions that it was told to keep. */
export interface SimulatedCollection {
  readonly accountId: AccountId;
  readonly pinned: ReadonlyMap<WorkspaceId, readonly VersionName[]>;
}

export interface SimulatedStore extends Omit<WorkspaceRuntime, "syncSandbox"> {
  /** For this reason it cannot be reached from now on; null: it can. */
  storeAway(reason: string | null): void;
  /** Another than the sandbox that has it may write a workspace from now on. */
  takeLease(workspaceId: WorkspaceId): void;
  /** Its newest version is a compaction from now on. */
  compact(workspaceId: WorkspaceId): void;
  readonly collections: readonly SimulatedCollection[];
  /** Whose data is there, and not deleted. */
  storedWorkspaces(): readonly WorkspaceId[];
}

/** What disks need of it. */
export interface StoreOfDisks extends SimulatedStore {
  read(ref: VersionRef): { readonly version: WorkspaceVersion; readonly content: string };
  /** @throws Error when the sandbox does not begin as the newest version: that would lose what others published. */
  acquire(target: SyncTarget, holder: SandboxId, from: VersionRef | null): void;
  /** @throws AppError `lease_lost`, `unavailable`. */
  publish(target: SyncTarget, holder: SandboxId, contents: Contents): WorkspaceVersion;
  free(target: SyncTarget, holder: SandboxId): void;
  /** @throws AppError `unavailable`. */
  reach(): void;
}

export interface Contents {
  readonly content: string;
  readonly diskGiB: number;
  readonly reason: SyncReason;
}

interface Stored {
  readonly accountId: AccountId;
  readonly versions: { readonly version: WorkspaceVersion; readonly content: string }[];
  holder: SandboxId | "another" | null;
  deleted: boolean;
}

const GIB = 1024 ** 3;

export function createSimulatedStore(nowMs: () => number): StoreOfDisks {
  const workspaces = new Map<WorkspaceId, Stored>();
  const collections: SimulatedCollection[] = [];
  let away: string | null = null;

  function reach(): void {
    if (away !== null) throw new AppError("unavailable", away);
  }

  function find({ workspaceId, accountId }: WorkspaceRef): Stored {
    reach();
    const stored = workspaces.get(workspaceId);
    if (!stored || stored.deleted || stored.accountId !== accountId || stored.versions.length === 0)
      throw new AppError("workspace_not_found", `there is no workspace ${workspaceId}`);
    return stored;
  }

  function read(ref: VersionRef) {
    const found = find(ref).versions.find(({ version }) => version.sha256 === ref.version.sha256);
    if (!found) throw new AppError("version_not_found", `there is no version ${ref.version.seq}`);
    return found;
  }

  function add(stored: Stored, { content, diskGiB, reason }: Contents): WorkspaceVersion {
    const seq = (stored.versions.at(-1)?.version.seq ?? 0) + 1;
    const bytes = { diskBytes: diskGiB * GIB, dataBytes: content.length, storedBytes: content.length };
    const sha256 = createHash("sha256").update(`${seq} ${content}`).digest("hex");
    const version = { seq, sha256, createdAtMs: nowMs(), reason, ...bytes };
    stored.versions.push({ version, content });
    return version;
  }

  return {
    reach,
    read,
    acquire(target, holder, from) {
      const { workspaceId, accountId } = target;
      const fresh: Stored = { accountId, versions: [], holder, deleted: false };
      const stored = workspaces.get(workspaceId) ?? fresh;
      const newest = stored.versions.at(-1)?.version.sha256;
      if (stored.deleted) throw new Error(`workspace ${workspaceId} is deleted`);
      if (newest !== undefined && newest !== from?.version.sha256)
        throw new Error(`sandbox ${holder} does not begin as the newest version of ${workspaceId}`);
      stored.holder = holder;
      workspaces.set(workspaceId, stored);
    },
    publish({ workspaceId }, holder, contents) {
      reach();
      const stored = workspaces.get(workspaceId);
      if (!stored || stored.deleted || stored.holder !== holder)
        throw new AppError("lease_lost", `another writes workspace ${workspaceId} now`);
      return add(stored, contents);
    },
    free({ workspaceId }, holder) {
      const stored = workspaces.get(workspaceId);
      if (stored?.holder === holder) stored.holder = null;
    },

    storeAway(reason) {
      away = reason;
    },
    takeLease(workspaceId) {
      const stored = workspaces.get(workspaceId);
      if (stored) stored.holder = "another";
    },
    compact(workspaceId) {
      const stored = workspaces.get(workspaceId);
      const newest = stored?.versions.at(-1);
      if (!stored || !newest) throw new Error(`workspace ${workspaceId} has no version`);
      const { content, version } = newest;
      add(stored, { content, diskGiB: version.diskBytes / GIB, reason: "compaction" });
    },
    collections,
    storedWorkspaces: () => [...workspaces].flatMap(([id, { deleted }]) => (deleted ? [] : [id])),

    async listVersions(ref) {
      return find(ref).versions.map(({ version }) => version);
    },
    async diffVersions(ref, { before, after, limit, from }) {
      const [old, now] = [before, after].map((version) => read({ ...ref, version }).content) as [string, string];
      const parts = ["content"] as const;
      const sizes = { sizeBefore: old.length, sizeAfter: now.length };
      const all = old === now ? [] : [{ path: "content", change: "changed", parts, type: "file", ...sizes } as const];
      const left = all.filter(({ path }) => path > (from ?? ""));
      return { changes: left.slice(0, limit), more: left.length > limit };
    },
    async settleVersions(ref) {
      return find(ref).versions.map(({ version }) => version);
    },
    async restoreVersion(ref) {
      const stored = find(ref);
      const newest = stored.versions.at(-1)?.version.seq;
      if (newest !== ref.newest.seq)
        throw new AppError("workspace_in_use", `workspace ${ref.workspaceId} is in use: at version ${newest}`);
      const { content, version } = read(ref);
      if (stored.holder !== null) throw new AppError("lease_held", `workspace ${ref.workspaceId} is open`);
      return add(stored, { content, diskGiB: version.diskBytes / GIB, reason: "restore" });
    },
    async deleteWorkspace({ workspaceId }) {
      reach();
      const stored = workspaces.get(workspaceId);
      if (stored) stored.deleted = true;
    },
    async collectImages() {
      reach();
      return { removed: 0, removedBytes: 0, waiting: 0, unreadable: 0 };
    },
    async collectGarbage(accountId, { pinned }) {
      reach();
      const own = [...workspaces].filter(([, stored]) => stored.accountId === accountId);
      const pins = new Map<WorkspaceId, readonly VersionName[]>();
      for (const [id] of own) pins.set(id, await pinned(id));
      collections.push({ accountId, pinned: pins });
      const garbage = own.filter(([id, { deleted }]) => deleted && pins.get(id)?.length === 0);
      for (const [id] of garbage) workspaces.delete(id);
      const compacted = own.flatMap(([workspaceId, { versions, deleted }]) => {
        const version = versions.at(-1)?.version;
        return version?.reason === "compaction" && !deleted ? [{ workspaceId, version }] : [];
      });
      return { removed: garbage.length, removedBytes: 100 * garbage.length, waiting: 0, unreadable: 0, compacted };
    },
  };
}
