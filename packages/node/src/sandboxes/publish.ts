/**
 * Publishes the disk of a sandbox that is awake as the next version of its workspace: what has changed since the last one,
 * as far as that is known, else all of it is compared.
 */
import { randomBytes } from "node:crypto";
import { AppError, diskFullError, isAppError } from "@mags/core";
import type { MicroVmId, RunningSync, SyncReason, SyncTarget, WorkspaceVersion } from "@mags/domain";
import { imageFilesOf } from "../images/image.ts";
import { readBlockGraph } from "../qemu/disk-view/block-graph.ts";
import { changedBytes } from "../qemu/disk-view/changed-bytes.ts";
import { openDiskView } from "../qemu/disk-view/disk-view.ts";
import { viewPlaceOf } from "../qemu/disk-view/place.ts";
import { settleDisk } from "../qemu/disk-view/settle.ts";
import { diskWrites } from "../qemu/disk-writes.ts";
import { namedKeyOf, versionOf } from "../workspaces/workspace-runtime.ts";
import { createHold, STALE_BYTES } from "./hold.ts";
import type { KeptRecord } from "./kept-record.ts";
import { lookAfterSync, scratchLimit } from "./look-after-sync.ts";
import { explainFullDisk, waitsForRoom } from "./room.ts";
import type { Awake, SandboxDeps } from "./sandbox-deps.ts";
import type { SandboxRecord } from "./sandbox-record.ts";

export interface PublishOptions {
  readonly reason: SyncReason;
  /** The guest is left paused when it is published, so that nothing changes any more. */
  readonly hold: boolean;
  /** Told each second how far it is; null when it is over. */
  readonly onProgress: (running: RunningSync | null) => void;
  readonly signal: AbortSignal;
}

export interface PublishResult {
  readonly version: WorkspaceVersion;
  /** Why all of the disk was compared although it was known what had changed, for people; else null. */
  readonly missing: string | null;
  /** Null: no file had changed, and that is the newest version as it was. */
  readonly done: {
    readonly changedBytes: number;
    readonly sentBytes: number;
    readonly puts: number;
    /** How long the guest's writes were held up. */
    readonly stallMs: number;
  } | null;
}

export interface Publisher {
  /**
   * @throws AppError `disk_full` when the host has no room for it, at once when the guest waits for room itself; `unavailable`,
   *   `lease_lost`, `microvm_lost` and others. What changed is known as before then, and the guest runs.
   */
  publish(awake: Awake, options: PublishOptions): Promise<PublishResult>;
  /** @throws AppError `unavailable` when the object store is away. */
  reach(options: { readonly signal: AbortSignal }): Promise<void>;
  /** What a publication would have to look at, as far as it is on the disk. */
  behindBytes(awake: Awake): Promise<number>;
  /** The same when the guest has brought to its disk what it wrote, and discarded what it does not use, if it answers. @throws AppError as `publish`. */
  writeOut(awake: Awake, options: { readonly signal: AbortSignal }): Promise<number>;
  /** True when the guest has written nothing since it was published; false when it has, or when that is not known. */
  isQuiet(awake: Awake): Promise<boolean>;
}

export function createPublisher(deps: SandboxDeps, kept: KeptRecord): Publisher {
  /** After a publication: the bitmap has what the file system noted of being still, and that again is nothing new. */
  let quiet: { readonly microVmId: MicroVmId; readonly writes: number } | undefined;

  async function isQuiet({ microVm }: Awake): Promise<boolean> {
    return quiet?.microVmId === microVm.id && (await diskWrites(microVm.machine.qmp)) === quiet.writes;
  }

  /** @throws AppError `unavailable` when the object store is away. */
  async function mustReach({ accountId, workspaceId }: SyncTarget, signal: AbortSignal): Promise<void> {
    await deps.blocks
      .call("versions", { account: accountId, workspace: workspaceId }, { signal })
      .catch((error: unknown) => {
        if (!isAppError(error, "workspace_not_found")) throw error; // it is to be made
      });
  }

  async function publishNow(awake: Awake, options: PublishOptions): Promise<PublishResult> {
    const { microVm } = awake;
    const { qmp } = microVm.machine;
    const place = viewPlaceOf(microVm);
    const { published, policy } = kept.now;
    const target = policy.syncTo;
    if (!target) throw new AppError("validation_failed", "the workspace is local: it is not synced");
    const own = published?.workspaceId === target.workspaceId ? published.info : null;
    await using hold = createHold(deps, awake, options);
    // A guest whose disk waits for the store does not answer, and need not be held up for one that is away.
    if (kept.now.base) await mustReach(target, options.signal);
    // Not while a view is open: of a workspace's first version that may take a while.
    if (!own) await deps.blocks.call("keepImage", { image: imageFilesOf(kept.now.image) }, { signal: options.signal });
    const written = await hold.writeOut({ staleBytes: staleBytes(published, options.reason) });
    // Of one that is held, all that its programs have written counts: also what is not on the disk yet, which freezing brings there.
    if (own && written && !options.hold && (await isQuiet(awake))) return { version: own, missing: null, done: null };

    if (!kept.now.base) await mustReach(target, options.signal);
    const mark = published?.mark ?? null;
    const since = (await settleDisk(qmp, place, { since: mark })).tracked ? mark : null;
    const next = randomBytes(4).toString("hex");
    const { sizeBytes } = await readBlockGraph(qmp);
    await using view = await openDiskView(
      { qmp, runtime: deps.runtime, place },
      { sizeBytes, since, next, atMoment: hold.atMoment },
    );
    const { accountId, workspaceId } = target;
    const { onProgress, signal } = options;
    const mostScratchBytes = scratchLimit(sizeBytes);
    const lookedAfter = { target, scratch: place.scratch.host, mostScratchBytes, onProgress, signal };
    const result = await lookAfterSync(deps, lookedAfter, (signals) =>
      deps.blocks.call(
        "sync",
        {
          ...namedKeyOf(target),
          image: imageFilesOf(kept.now.image),
          disk: kept.now.id,
          diskBytes: sizeBytes,
          reason: firstReason(kept.now, target) ?? options.reason,
          parent: published && {
            ...{ account: published.accountId, workspace: published.workspaceId, version: published.version },
          },
          source: view.source,
          paced: !options.hold,
        },
        signals,
      ),
    );
    const version = versionOf(result.version);
    const { seq, sha256 } = version;
    const atMs = deps.clock.now().getTime();
    const { isDisk, changedBytes, sentBytes, puts, missing } = result;
    // What a disk has beside the version is still to be published, with the next one. Without a bitmap there is nothing such.
    const known = isDisk || since === null ? next : since;
    await kept.change(() => ({
      published: { accountId, workspaceId, version: { seq, sha256 }, info: version, atMs, mark: known },
    }));
    await view.finish({ published: known === next });
    hold.keep();
    quiet = { microVmId: microVm.id, writes: hold.writes };
    const done = { changedBytes, sentBytes, puts, stallMs: hold.stallMs };
    return { version, missing, done: sha256 === own?.sha256 ? null : done };
  }

  async function behindBytes({ microVm }: Awake): Promise<number> {
    const { published } = kept.now;
    const known = published && (await changedBytes(microVm.machine.qmp, published.mark));
    return known ?? (await readBlockGraph(microVm.machine.qmp)).sizeBytes;
  }

  async function writeOutNow(awake: Awake, { signal }: { readonly signal: AbortSignal }): Promise<number> {
    const { base, policy, published } = kept.now;
    // A guest whose disk waits for the store does not answer.
    if (base && policy.syncTo) await mustReach(policy.syncTo, signal);
    await using hold = createHold(deps, awake, { hold: false });
    await hold.writeOut({ staleBytes: staleBytes(published, "stop") });
    signal.throwIfAborted();
    return await behindBytes(awake);
  }

  async function whereRoom<T>(
    { microVm }: Awake,
    { signal }: { readonly signal: AbortSignal },
    work: () => Promise<T>,
  ): Promise<T> {
    // What it has not written yet would be missing in the version.
    if (await waitsForRoom(microVm)) throw diskFullError(deps.dataDirectory);
    try {
      return await work();
    } catch (error) {
      throw signal.aborted ? error : await explainFullDisk(deps, microVm, error);
    }
  }

  return {
    isQuiet,
    behindBytes,
    writeOut: (awake, options) => whereRoom(awake, options, () => writeOutNow(awake, options)),
    publish: (awake, options) => whereRoom(awake, options, () => publishNow(awake, options)),
    async reach({ signal }) {
      const { syncTo } = kept.now.policy;
      if (syncTo) await mustReach(syncTo, signal);
    },
  };
}

/** The first version has nothing that was deleted before. */
function staleBytes(published: SandboxRecord["published"], reason: SyncReason): number {
  if (!published) return 0;
  return reason === "stop" || reason === "sleep" ? STALE_BYTES.atLast : STALE_BYTES.whileRunning;
}

/** Why a workspace has its first version, beyond what it is published for. */
function firstReason({ published, wasLocal }: SandboxRecord, target: SyncTarget): SyncReason | undefined {
  if (published?.workspaceId === target.workspaceId) return undefined;
  if (published) return "fork";
  return wasLocal ? "promotion" : undefined;
}
