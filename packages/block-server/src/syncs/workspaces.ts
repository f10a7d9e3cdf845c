/** Writes workspaces: publishes versions, and does what needs no disk. One thing at a time for each workspace. */
import { type Clock, createGate, type Gate, isAppError, type Logger, messageOf } from "@mags/core";
import type { ObjectStore } from "@mags/object-store";
import {
  collect,
  createKnownPacks,
  deleteWorkspace,
  type HeadVersion,
  latestOf,
  listVersions,
  readHead,
  surveyAccount,
  type WorkspaceKey,
} from "@mags/workspace-store";
import type { CachedRecords } from "../cache/cached-records.ts";
import type { BlockServerCalls, SyncProgress } from "../calls.ts";
import type { Images } from "../images.ts";
import { type CompactOptions, compactWorkspace, packsToGiveUp } from "./compact-workspace.ts";
import type { Fitness } from "./fitness.ts";
import { getsVersions } from "./gets-versions.ts";
import { createLeases } from "./leases.ts";
import { openKey, publishDisk } from "./publish-disk.ts";
import { restoreVersion } from "./restore-version.ts";

type Signal = { readonly signal: AbortSignal };
type Call<Name extends keyof BlockServerCalls> = (
  params: Parameters<BlockServerCalls[Name]>[0],
  options: Signal,
) => ReturnType<BlockServerCalls[Name]>;

export interface Workspaces extends Disposable {
  readonly sync: Call<"sync">;
  readonly progress: Call<"progress">;
  readonly release: Call<"release">;
  readonly versions: Call<"versions">;
  readonly settle: Call<"settle">;
  readonly restore: Call<"restore">;
  readonly remove: Call<"remove">;
  readonly workspaces: Call<"workspaces">;
  readonly collect: Call<"collect">;
}

export interface WorkspacesDeps {
  readonly store: ObjectStore;
  readonly records: (account: string) => CachedRecords;
  readonly images: Pick<Images, "keep" | "wasKept">;
  readonly fitness: Fitness;
  /** Who holds the leases: this node. */
  readonly holder: string;
  readonly graceMs: number;
  /** How long a sync may take. */
  readonly limitMs: number;
  readonly clock: Clock;
  readonly log: Logger;
}

export function createWorkspaces(deps: WorkspacesDeps): Workspaces {
  const { store, holder, graceMs, limitMs, clock, log } = deps;
  const turns = new Map<string, Gate>();
  const underWay = new Map<string, SyncProgress>();
  const leases = createLeases(deps);
  const known = createKnownPacks();

  async function inTurn<T>(
    { workspace }: WorkspaceKey,
    { signal }: Signal,
    work: (turns: Gate) => Promise<T>,
  ): Promise<T> {
    const gate = turns.get(workspace) ?? createGate(1);
    turns.set(workspace, gate);
    const leave = await gate.enter({ signal });
    try {
      return await work(gate);
    } finally {
      leave();
      if (gate.inside === 0 && gate.waiting === 0) turns.delete(workspace);
    }
  }

  /**
   * Not while another node may write it, nor one whose lease ran out: it may only be slow. Not where nothing would be
   * freed by it. Who waits for the workspace has it given up until the next look.
   * @returns the newest version, where that is a compaction.
   */
  async function compact(
    key: WorkspaceKey,
    { shared, signal }: Omit<CompactOptions, "mayGoOn">,
  ): Promise<HeadVersion | undefined> {
    const read = { open: (version: HeadVersion) => openKey(deps, { ...key, version }, { signal }) };
    return await inTurn(key, { signal }, async (turn) => {
      const mayGoOn = () => turn.waiting === 0;
      const head = (await readHead(store, key, { signal }))?.head;
      if (head?.state !== "live") return undefined;
      const latest = latestOf(head);
      const before = latest?.reason === "compaction" ? latest : undefined;
      if (head.lease !== null && head.lease.holder !== holder) return before;
      if (!getsVersions(head, { holder, now: clock.now() })) return before;
      if ((await packsToGiveUp(read, head, { shared })).size === 0) return before;
      return await leases.briefly(key, { signal }, async (lease) => {
        const done = await compactWorkspace({ store, clock, limitMs, ...read }, lease, { shared, mayGoOn, signal });
        if (done) log.info("blocks.compacted", { ...key, ...done, version: done.version.seq });
        else log.info("blocks.compaction_put_off", { ...key });
        return done?.version ?? before;
      });
    });
  }

  return {
    sync: (call, options) =>
      inTurn(call, options, async () => {
        const onProgress = (progress: SyncProgress) => void underWay.set(call.workspace, progress);
        onProgress({ readBytes: 0, totalBytes: 0, sentBytes: 0 });
        try {
          return await leases.with(call, { ...options, create: call }, (lease) =>
            publishDisk(deps, call, { lease, onProgress, ...options }),
          );
        } finally {
          underWay.delete(call.workspace);
        }
      }),
    progress: async ({ workspace }) => underWay.get(workspace) ?? null,
    release: (key, options) =>
      inTurn(key, options, async () => {
        await leases.release(key, options);
        return null;
      }),
    async versions(key, options): Promise<readonly HeadVersion[]> {
      const { versions, isHeadLost } = await listVersions(store, key, options);
      if (isHeadLost) log.error("blocks.head_lost", { account: key.account, workspace: key.workspace });
      return versions;
    },
    settle: (key, options) => inTurn(key, options, () => leases.settle(key, options)),
    restore: (call, options) =>
      inTurn(call, options, () =>
        leases.briefly(call, { ...options, anew: call }, (lease) => restoreVersion(deps, call, { lease, ...options })),
      ),
    remove: (key, options) =>
      inTurn(key, options, async () => {
        leases.forget(key);
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
        graceMs,
        clock,
        pinned: async (workspace) => pins.get(workspace) ?? [],
        known,
        ...options,
      });
      for (const object of unreadable) log.error("blocks.object_unreadable", { account, ...object });
      const compacted: Record<string, HeadVersion> = {};
      for (const workspace of pins.keys())
        try {
          const version = await compact({ account, workspace }, { shared: sharedPacks, ...options });
          if (version) compacted[workspace] = version;
        } catch (error) {
          if (options.signal.aborted) throw error;
          log.warn("blocks.not_compacted", { account, workspace, error: messageOf(error) });
        }
      return { removed: removed.length, removedBytes, waiting, unreadable: unreadable.length, compacted };
    },
    [Symbol.dispose]: () => leases[Symbol.dispose](),
  };
}
