/** Looks whether a sandbox is idle, and has done with it then what its policy says. */
import { type Clock, isAppError, type Logger, messageOf } from "@mags/core";
import { untilDone } from "../host/until-done.ts";
import { createIdleness } from "./idleness.ts";
import type { Awake } from "./sandbox-deps.ts";
import type { SandboxRecord } from "./sandbox-record.ts";

export interface IdleWatch {
  /** Something was done in it. */
  touch(): void;
  /** It has woken. */
  begin(): void;
  tick(): void;
  /** One look at what its programs compute. */
  sampleCpu(): Promise<void>;
}

/** What is looked at. */
export interface Watched {
  readonly record: () => SandboxRecord;
  readonly awake: () => Awake | null;
  /** Calls under way. */
  readonly calls: () => number;
  /** Its state is about to be another: nothing is begun now. */
  readonly isChanging: () => boolean;
  readonly sleep: () => Promise<void>;
  readonly release: () => Promise<void>;
}

const STATS_MS = 5_000;
const RELEASE = { firstMs: 30_000, longestMs: 30_000 };

/** @param signal  Ends what is tried again and again. */
export function createIdleWatch(
  { clock, log }: { readonly clock: Clock; readonly log: Logger },
  watched: Watched,
  { signal }: { readonly signal: AbortSignal },
): IdleWatch {
  const idleness = createIdleness(clock.bootMs());
  const touch = () => idleness.touch(clock.bootMs());
  const failed = (event: string) => (error: unknown) => {
    // An AppError was told of, or says that somebody was faster.
    if (!isAppError(error)) log.error(event, { sandboxId: watched.record().id, error: messageOf(error) });
  };

  return {
    touch,
    begin: () => idleness.restart(clock.bootMs()),
    tick() {
      const { policy, scripts } = watched.record();
      const isKept = policy.idle.action !== "release";
      // Also where it is to go as soon as nothing is done in it.
      if (watched.calls() > 0 || scripts.some(({ keepsAwake }) => keepsAwake || !isKept)) return touch();
      if (watched.isChanging() || !idleness.isDue(policy.idle, clock.bootMs())) return;
      if (isKept && watched.awake()) watched.sleep().catch(failed("sandbox.idle_failed"));
      // Also one that sleeps already: its microVM was lost, say.
      else if (!isKept)
        void untilDone(watched.release, { ...RELEASE, onFailure: failed("sandbox.release_failed"), signal });
    },
    async sampleCpu() {
      const awake = watched.awake();
      if (!awake || watched.isChanging() || watched.record().policy.idle.action === "none") return;
      const stats = await awake.agent.stats({ deadlineMs: STATS_MS }).catch(() => undefined); // the next look may see it
      if (stats) idleness.cpu(stats.cpuMs.user, clock.bootMs());
    },
  };
}
