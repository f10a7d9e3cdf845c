/**
 * Publishes the disk of a sandbox that is awake as the next version of its workspace: what has changed since the last one,
 * as far as that is known, else all of it is compared.
 */
import { randomBytes } from "node:crypto";
import { AppError, isAppError, messageOf, withDeadline } from "@mags/core";
import type { MicroVmId, SyncReason, SyncTarget, WorkspaceVersion } from "@mags/domain";
import { changedBytes } from "../qemu/disk-view/changed-bytes.ts";
import { openDiskView } from "../qemu/disk-view/disk-view.ts";
import { viewPlaceOf } from "../qemu/disk-view/place.ts";
import { settleDisk } from "../qemu/disk-view/settle.ts";
import { diskWrites } from "../qemu/disk-writes.ts";
import { versionOf } from "../workspaces/workspace-runtime.ts";
import type { KeptRecord } from "./kept-record.ts";
import type { Awake, SandboxDeps } from "./sandbox-deps.ts";
import type { Published } from "./sandbox-record.ts";

export interface PublishOptions {
  readonly reason: SyncReason;
  /** The guest is left paused when it is published, so that nothing changes any more. */
  readonly hold: boolean;
  readonly signal: AbortSignal;
}

export interface PublishResult {
  readonly version: WorkspaceVersion;
  /** Null: nothing had changed. */
  readonly done: {
    readonly changedBytes: number;
    readonly sentBytes: number;
    readonly puts: number;
    /** How long the guest's writes were held up. */
    readonly stallMs: number;
  } | null;
}

const GIB = 1024 ** 3;
const SYNC_ROUNDS = 4;
const SYNC_MS = 30_000;
const FREEZE_MS = 5_000;
/** The guest thaws by itself after so long, whatever becomes of the host. */
/** The file system notes that it is in use again. With more, the guest has written something meanwhile. */
const THAW_WRITES = 1;
const WATCHDOG_MS = 10_000;

export interface Publisher {
  /**
   * @throws AppError `unavailable`, `lease_lost`, `microvm_lost` and others: what changed is known as before, and the guest
   *   runs.
   */
  publish(awake: Awake, options: PublishOptions): Promise<PublishResult>;
  /** What a publication would have to look at, as far as it is on the disk. */
  behindBytes(awake: Awake): Promise<number>;
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

  return {
    isQuiet,
    async behindBytes({ microVm }) {
      const { published, grownGiB } = kept.now;
      const known = published && (await changedBytes(microVm.machine.qmp, published.mark));
      return known ?? grownGiB * GIB;
    },
    async publish(awake, options) {
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
      const written = await hold.writeOut();
      if (own && written && !options.hold && (await isQuiet(awake))) return { version: own, done: null };

      if (!kept.now.base) await mustReach(target, options.signal);
      const mark = published?.mark ?? null;
      const since = (await settleDisk(qmp, place, { since: mark })).tracked ? mark : null;
      const next = randomBytes(4).toString("hex");
      const sizeBytes = kept.now.grownGiB * GIB;
      await using view = await openDiskView(
        { qmp, runtime: deps.runtime, place },
        { sizeBytes, since, next, atMoment: hold.atMoment },
      );
      const { accountId, workspaceId } = target;
      const result = await deps.blocks.call(
        "sync",
        {
          ...{ account: accountId, workspace: workspaceId, name: target.name, forkedFrom: forkedFrom(target) },
          image: { name: kept.now.image.name, digest: kept.now.image.digest },
          disk: kept.now.id,
          diskBytes: sizeBytes,
          reason: firstReason(published, target) ?? options.reason,
          parent: published && {
            ...{ account: published.accountId, workspace: published.workspaceId, version: published.version },
          },
          source: view.source,
        },
        { signal: options.signal },
      );
      const version = versionOf(result.version);
      const { seq, sha256 } = version;
      const atMs = deps.clock.now().getTime();
      await kept.change(() => ({
        published: { accountId, workspaceId, version: { seq, sha256 }, info: version, atMs, mark: next },
      }));
      await view.finish({ published: true });
      hold.keep();
      quiet = { microVmId: microVm.id, writes: hold.writes };
      const { changedBytes, sentBytes, puts } = result;
      return { version, done: { changedBytes, sentBytes, puts, stallMs: hold.stallMs } };
    },
  };
}

function forkedFrom({ forkedFrom: base }: SyncTarget) {
  return base && { workspace: base.workspaceId, name: base.name, seq: base.seq };
}

/** Why a workspace has its first version; undefined when it has one. */
function firstReason(published: Published | null, target: SyncTarget): SyncReason | undefined {
  if (published?.workspaceId === target.workspaceId) return undefined;
  return published ? "fork" : "promotion";
}

interface Hold extends AsyncDisposable {
  /** Has the guest's file system whole on its disk and still while the view is taken. */
  readonly atMoment: (take: () => Promise<void>) => Promise<void>;
  /** Has the guest bring what it wrote to its disk. @returns false when it does not answer. */
  writeOut(): Promise<boolean>;
  /** A guest that is paused stays so when this is disposed. */
  keep(): void;
  readonly stallMs: number;
  /** What QEMU had counted when the guest went on; -1 when it has written something since the view. */
  readonly writes: number;
}

/** A guest that does not answer is not waited for: its disk is published as a power cut would leave it. */
function createHold(
  { clock, log }: Pick<SandboxDeps, "clock" | "log">,
  { microVm, agent }: Awake,
  { hold }: PublishOptions,
): Hold {
  let paused = false;
  let frozen = false;
  let stallMs = 0;
  let writes = -1;
  const told = (what: string) => (error: unknown) => {
    log.info(what, { microVmId: microVm.id, error: messageOf(error) });
    return undefined;
  };

  const late = () => new Error("no answer");

  async function thaw(): Promise<void> {
    if (!frozen) return;
    frozen = false;
    await agent.thaw({ deadlineMs: FREEZE_MS }).catch(told("sandbox.not_thawed")); // it does so by itself
  }

  async function pause(): Promise<void> {
    await microVm.machine.pause();
    paused = true;
  }

  return {
    writeOut: () =>
      withDeadline(agent.sync({ rounds: SYNC_ROUNDS }, { deadlineMs: SYNC_MS }), SYNC_MS, late).then(
        () => true,
        (error: unknown) => told("sandbox.not_synced")(error) !== undefined,
      ),
    get stallMs() {
      return stallMs;
    },
    get writes() {
      return writes;
    },
    async atMoment(take) {
      const beganMs = clock.monotonicMs();
      frozen = await withDeadline(
        agent.freeze({ watchdogMs: WATCHDOG_MS }, { deadlineMs: FREEZE_MS }),
        FREEZE_MS,
        late,
      ).then(
        () => true,
        (error: unknown) => told("sandbox.not_frozen")(error) !== undefined,
      );
      const before = frozen ? await diskWrites(microVm.machine.qmp) : Number.NaN;
      try {
        if (hold) await pause();
        await take();
      } finally {
        if (!hold) await thaw();
        const after = await diskWrites(microVm.machine.qmp).catch(() => Number.NaN); // QEMU has gone, which others see, too
        writes = after - before <= THAW_WRITES ? after : -1;
        stallMs = Math.round((clock.monotonicMs() - beganMs) * 10) / 10;
      }
    },
    keep() {
      paused = false;
      frozen = false;
    },
    async [Symbol.asyncDispose]() {
      if (paused) await microVm.machine.resume();
      paused = false;
      await thaw();
    },
  };
}
