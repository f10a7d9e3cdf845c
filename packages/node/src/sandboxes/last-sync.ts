/** What a synced sandbox needs before its disk may go: that all of it is published, and nobody keeps anything for it. */
import { AppError, messageOf } from "@mags/core";
import type { SyncTarget, WorkspaceVersion } from "@mags/domain";
import { versionOf } from "../workspaces/workspace-runtime.ts";
import type { SandboxDeps } from "./sandbox-deps.ts";
import type { SandboxLife } from "./sandbox-life.ts";
import type { SyncWatch } from "./sync-watch.ts";
import type { Waking } from "./waking.ts";

/** As much is published at once with the guest paused: what it writes during a sync before that would be a version more. */
const AT_ONCE_BYTES = 64 * 1024 ** 2;
const AT_ONCE_MS = 10_000;
const LAST_SYNC_MS = 60_000;
const LET_GO_MS = 5_000;

/** Also of one that sleeps: whether its disk may be another than what was published. */
export function isBehind({ kept, awake }: Pick<SandboxLife, "kept" | "awake">): boolean {
  const { policy, asleep, published } = kept.now;
  if (!policy.syncTo) return false;
  return awake !== null || published?.workspaceId !== policy.syncTo.workspaceId || asleep?.synced !== true;
}

/**
 * The guest is paused when it resolves, and all it wrote is published. Its caller has the turn.
 * @param parts.atOnceMs  How long the guest may be paused before it runs on for the most of it. Default: 10 s.
 */
export async function publishForGood(
  life: Pick<SandboxLife, "kept" | "awake" | "givenUp">,
  parts: {
    readonly syncs: Pick<SyncWatch, "publish" | "writeOut">;
    readonly waking: Pick<Waking, "wakeUp">;
    readonly atOnceMs?: number;
  },
): Promise<void> {
  const { syncs, waking, atOnceMs = AT_ONCE_MS } = parts;
  if (!isBehind(life)) return;
  const signal = life.givenUp;
  await waking.wakeUp("requested");

  /** @returns false when the time was too short. */
  async function publishPaused(limitMs: number): Promise<boolean> {
    const limit = AbortSignal.timeout(limitMs);
    try {
      await syncs.publish({ reason: "stop", hold: true, signal: AbortSignal.any([limit, signal]) });
      return true;
    } catch (error) {
      if (limit.aborted && !signal.aborted) return false;
      throw error;
    }
  }

  if ((await syncs.writeOut({ signal })) <= AT_ONCE_BYTES && (await publishPaused(atOnceMs))) return;
  // Most of it while the guest runs, however long that takes; then the little that is left.
  await syncs.publish({ reason: "stop", hold: false, signal });
  if (await publishPaused(LAST_SYNC_MS)) return;
  throw new AppError("unavailable", `the last sync took longer than ${LAST_SYNC_MS / 1000} s`);
}

/**
 * The block server has nothing more to do for it; what cannot be said now it is told by the next start.
 * @returns the newest version of its workspace: of a sync that was cut off nobody may have told.
 */
export async function letGo(
  { blocks, log }: Pick<SandboxDeps, "blocks" | "log">,
  { id, kept }: Pick<SandboxLife, "id" | "kept">,
): Promise<WorkspaceVersion | null> {
  const { base, policy, published } = kept.now;
  const signal = AbortSignal.timeout(LET_GO_MS);
  const newest = async (target: SyncTarget) => {
    const key = { account: target.accountId, workspace: target.workspaceId };
    await blocks.call("release", key, { signal });
    const version = (await blocks.call("versions", key, { signal })).at(-1);
    return version ? versionOf(version) : null;
  };
  const [unserved, asked] = await Promise.allSettled([
    base ? blocks.call("unserve", { id }, { signal }) : null,
    policy.syncTo ? newest(policy.syncTo) : null,
  ]);
  for (const result of [unserved, asked])
    if (result.status === "rejected")
      log.warn("sandbox.not_let_go", { sandboxId: id, error: messageOf(result.reason) });
  if (asked.status === "fulfilled") return asked.value;
  return policy.syncTo && published?.workspaceId === policy.syncTo.workspaceId ? published.info : null;
}
