/**
 * Publishes what a sandbox fell asleep with, because the object store was away then: as soon as that is there again it is
 * woken, published, and put to sleep, unless somebody uses it meanwhile. That does not count as use. One whose memory is lost,
 * or cannot be used, is left alone: its next wake runs programs anew, which is its owner's to ask for.
 */
import { type Clock, type Logger, messageOf } from "@mags/core";
import { isBehind } from "./last-sync.ts";
import type { SandboxLife } from "./sandbox-life.ts";

export interface CatchUp {
  tick(): void;
}

export interface CatchUpParts {
  /** Rejects while the object store is away. */
  readonly reach: (options: { readonly signal: AbortSignal }) => Promise<void>;
  /** Why it cannot be woken with its memory, for people; nothing when it can. */
  readonly misfit: () => Promise<string | undefined>;
  /** Wakes it with its memory. The callers of this and the next two have the turn. */
  readonly wake: () => Promise<void>;
  /** What fails is told of, and known when it sleeps again. */
  readonly publish: () => Promise<void>;
  readonly sleep: () => Promise<void>;
  /** How often somebody has begun to use it. */
  readonly uses: () => number;
  readonly tell: (name: string, data: Readonly<Record<string, unknown>>) => void;
}

const REACH_MS = 10_000;
/** Between two looks whether the store is there. */
const LOOK = { firstMs: 2_000, longestMs: 60_000 };
/** Between two wakes: a store that can be read may still refuse what is written. */
const WAKE = { firstMs: 2_000, longestMs: 3_600_000 };

const longer = (pauseMs: number, { longestMs }: typeof LOOK) => Math.min(2 * pauseMs, longestMs);

export function createCatchUp(
  { clock, log }: { readonly clock: Clock; readonly log: Logger },
  life: SandboxLife,
  { reach, tell, ...parts }: CatchUpParts,
): CatchUp {
  const { id, kept } = life;
  let lookMs = LOOK.firstMs;
  let wakeMs = WAKE.firstMs;
  let dueAtMs = clock.bootMs() + LOOK.firstMs;
  let underWay = false;
  const isWanted = () => !life.gone && kept.now.asleep?.memory != null && isBehind(life);

  async function publishAsleep(): Promise<void> {
    const misfit = await parts.misfit();
    if (misfit !== undefined) return await leaveBehind(misfit);
    const before = parts.uses();
    await parts.wake();
    await parts.publish();
    const { policy, scripts } = kept.now;
    const isUsed = parts.uses() > before || life.waiting() > 0 || scripts.some(({ keepsAwake }) => keepsAwake);
    // Who uses it has it go to sleep again as ever: when it is idle.
    if (!isUsed && policy.idle.action !== "none") await parts.sleep();
  }

  /** It says so once. */
  async function leaveBehind(misfit: string): Promise<void> {
    const reason = `${misfit}, so the VM is not woken to be synced: it is when it is used next`;
    const { asleep } = kept.now;
    if (asleep === null || asleep.behind?.reason === reason) return;
    await kept.change(() => ({ asleep: { ...asleep, behind: { bytes: asleep.behind?.bytes ?? 0, reason } } }));
    tell("sync_failed", { reason });
  }

  /** @returns how long to wait before the next one. */
  async function attempt(): Promise<number> {
    try {
      await reach({ signal: AbortSignal.any([AbortSignal.timeout(REACH_MS), life.givenUp]) });
    } catch {
      lookMs = longer(lookMs, LOOK); // why it is behind was told of when it fell asleep
      return lookMs;
    }
    lookMs = LOOK.firstMs;
    try {
      await life.inTurn(async () => {
        if (isWanted()) await publishAsleep();
      });
    } catch (error) {
      log.warn("sandbox.not_caught_up", { sandboxId: id, error: messageOf(error) });
    }
    wakeMs = isWanted() ? longer(wakeMs, WAKE) : WAKE.firstMs;
    return wakeMs;
  }

  return {
    tick() {
      if (underWay || !isWanted() || life.isChanging() || clock.bootMs() < dueAtMs) return;
      underWay = true;
      void attempt().then((pauseMs) => {
        dueAtMs = clock.bootMs() + pauseMs;
        underWay = false;
      });
    },
  };
}
