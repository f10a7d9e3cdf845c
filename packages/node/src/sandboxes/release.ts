/** The end of a sandbox: what changed of a synced one is published, then its microVM, its disk and what is kept for it go. */
import { isBehind, letGo, publishForGood } from "./last-sync.ts";
import type { SandboxDeps } from "./sandbox-deps.ts";
import type { SandboxLife } from "./sandbox-life.ts";
import type { SyncWatch } from "./sync-watch.ts";
import type { Waking } from "./waking.ts";

export interface ReleaseParts {
  readonly syncs: Pick<SyncWatch, "publish" | "writeOut">;
  readonly waking: Pick<Waking, "wakeUp" | "releaseMicroVm">;
  /** Its disk is removed. */
  readonly onGone: () => void;
}

/** The report of a version that nobody has just made. */
const NOTHING_SENT = { reason: "interval", changedBytes: 0, sentBytes: 0, puts: 0, stallMs: 0, durationMs: 0 } as const;

/** @returns what releases it. Of each kind one is under way, whoever asks for it again; what failed may be repeated. */
export function createRelease(
  deps: SandboxDeps,
  life: SandboxLife,
  { syncs, waking, onGone }: ReleaseParts,
): (reason: string, options?: { readonly discard?: boolean }) => Promise<void> {
  const { id, tell } = life;
  const underWay = new Map<boolean, Promise<void>>();
  let removed = false;
  let discards = false;

  async function release(reason: string, { discard }: { readonly discard: boolean }): Promise<void> {
    discards ||= discard;
    if (discard || !isBehind(life)) life.end();
    await life.inTurn(async () => {
      if (!life.gone) await publishForGood(life, { syncs, waking });
      if (removed) return; // by a call that came before
      life.end();
      const current = life.awake;
      await life.underOnePolicy(async () => {
        life.awake = null;
      });
      deps.guests.ended(id, reason);
      if (current) await waking.releaseMicroVm(current);
      await deps.store.remove(id);
      removed = true;
      const version = await letGo(deps, life);
      onGone();
      const syncedAtMs = discards && version ? { syncedAtMs: version.createdAtMs } : {};
      if (version) tell("synced", { ...NOTHING_SENT, version, ...syncedAtMs });
      tell("released", { reason });
    });
  }

  return (reason, { discard = false } = {}) => {
    const before = underWay.get(discard);
    if (before) return before;
    const released = release(reason, { discard }).finally(() => underWay.delete(discard));
    underWay.set(discard, released);
    return released;
  };
}
