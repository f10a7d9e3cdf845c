/** The disks of simulated sandboxes: a text each, and how far it is published. */
import { AppError, isAppError } from "@mags/core";
import type { ObservedSync, SandboxId, SandboxSpec, SyncReason, SyncTarget, WorkspaceVersion } from "@mags/domain";
import type { StoreOfDisks } from "./simulated-store.ts";

export interface SimulatedDisks {
  /** Somebody in the guest writes: what is on the disk gets longer. */
  write(sandboxId: SandboxId, text: string): void;
  contentOf(sandboxId: SandboxId): string | undefined;
  /** Half a minute is over: it is published if it changed. */
  interval(sandboxId: SandboxId): Promise<void>;
}

/** What sandboxes need of them. */
export interface DisksOfSandboxes extends SimulatedDisks {
  make(spec: SandboxSpec): void;
  remove(id: SandboxId): void;
  /** From null to a target its content becomes the first version. */
  setTarget(id: SandboxId, syncTo: SyncTarget | null, diskGiB: number): void;
  sync(id: SandboxId, diskGiB: number, reason: SyncReason): WorkspaceVersion;
  /** As `sync`, where it is to be published; what fails stays. */
  trySync(id: SandboxId, diskGiB: number, reason: SyncReason): void;
  observe(id: SandboxId): ObservedSync | null;
}

interface Disk {
  content: string;
  syncTo: SyncTarget | null;
  version: WorkspaceVersion | null;
  syncedAtMs: number | null;
  /** Bytes of the content that are published. */
  synced: number;
  failure: string | null;
}

export function createSimulatedDisks(deps: {
  readonly nowMs: () => number;
  readonly store: StoreOfDisks;
  readonly tell: (id: SandboxId, name: string, data: Readonly<Record<string, unknown>>) => void;
  readonly diskGiB: (id: SandboxId) => number;
}): DisksOfSandboxes {
  const { nowMs, store, tell } = deps;
  const disks = new Map<SandboxId, Disk>();

  function get(id: SandboxId): Disk {
    const disk = disks.get(id);
    if (!disk) throw new AppError("sandbox_not_found", `there is no sandbox ${id}`);
    return disk;
  }

  function publish(id: SandboxId, disk: Disk, diskGiB: number, reason: SyncReason): WorkspaceVersion {
    const { content, syncTo, version, failure } = disk;
    if (!syncTo) throw new AppError("validation_failed", `sandbox ${id} is not synced`);
    try {
      store.reach();
      if (!version || disk.synced < content.length) {
        disk.version = store.publish(syncTo, id, { content, diskGiB, reason });
        const sentBytes = content.length - disk.synced;
        tell(id, "synced", { version: disk.version, reason, sentBytes, durationMs: 1, stallMs: 0 });
      }
    } catch (error) {
      if (!isAppError(error)) throw error;
      disk.failure = error.message;
      if (failure === null)
        tell(id, error.code === "lease_lost" ? "sync_lost" : "sync_failed", { reason: error.message });
      throw error;
    }
    Object.assign(disk, { synced: content.length, syncedAtMs: nowMs(), failure: null });
    return disk.version as WorkspaceVersion; // just published, or there before
  }

  function trySync(id: SandboxId, diskGiB: number, reason: SyncReason): void {
    const disk = get(id);
    if (!disk.syncTo) return;
    try {
      publish(id, disk, diskGiB, reason);
    } catch (error) {
      if (!isAppError(error)) throw error;
    }
  }

  return {
    make({ id, from, syncTo }) {
      const begun = from && store.read(from);
      const own = from?.workspaceId === syncTo?.workspaceId;
      if (syncTo) store.acquire(syncTo, id, from);
      const content = begun?.content ?? "";
      const version = own ? (begun?.version ?? null) : null;
      disks.set(id, { content, syncTo, version, syncedAtMs: null, synced: content.length, failure: null });
    },
    remove(id) {
      const { syncTo } = get(id);
      if (syncTo) store.free(syncTo, id);
      disks.delete(id);
    },
    setTarget(id, syncTo, diskGiB) {
      const disk = get(id);
      if (disk.syncTo && !syncTo) throw new Error(`sandbox ${id} is synced and was to be local`);
      if (disk.syncTo || !syncTo) return;
      store.acquire(syncTo, id, null);
      disk.syncTo = syncTo;
      trySync(id, diskGiB, "promotion");
    },
    sync: (id, diskGiB, reason) => publish(id, get(id), diskGiB, reason),
    trySync,
    observe(id) {
      const { syncTo, version, syncedAtMs, synced, content, failure } = get(id);
      return syncTo && { version, syncedAtMs, behindBytes: content.length - synced, failure, running: null };
    },

    write(id, text) {
      get(id).content += text;
    },
    contentOf: (id) => disks.get(id)?.content,
    async interval(id) {
      trySync(id, deps.diskGiB(id), "interval");
    },
  };
}
