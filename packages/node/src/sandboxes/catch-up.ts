/**
 * Publishes what a sandbox fell asleep with, because the object store was away then: as soon as that is there again it is
 * woken, published, and put to sleep. That does not count as use. One that lost its memory is left alone: its next wake runs
 * programs anew, which is its owner's to ask for.
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
  /** Wakes it, publishes it, and puts it to sleep unless somebody has come to use it. Its caller has the turn. */
  readonly publishAsleep: () => Promise<void>;
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
  { reach, publishAsleep }: CatchUpParts,
): CatchUp {
  const { id, kept } = life;
  let lookMs = LOOK.firstMs;
  let wakeMs = WAKE.firstMs;
  let dueAtMs = clock.bootMs() + LOOK.firstMs;
  let underWay = false;
  const isWanted = () => !life.gone && kept.now.asleep?.memory != null && isBehind(life);

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
