/** Has disk and file system of a sandbox become as large as they were asked to be; what was cut off is tried again. */
import { messageOf } from "@mags/core";
import type { Awake, SandboxDeps } from "./sandbox-deps.ts";
import type { SandboxLife } from "./sandbox-life.ts";

export interface Growth {
  /** At once when it is awake. Its caller has the turn. May be repeated, also after it failed or was cut off half-way. */
  now(): Promise<void>;
  /** Tries again what failed or was cut off. */
  tick(): void;
}

const GIB = 1024 ** 3;
const FIRST_PAUSE_MS = 10_000;
const LONGEST_PAUSE_MS = 5 * 60_000;

export function createGrowth({ host, clock }: Pick<SandboxDeps, "host" | "clock">, life: SandboxLife): Growth {
  const { kept, tell } = life;
  let pauseMs = FIRST_PAUSE_MS;
  let dueAtMs = 0;
  /** It was told of. */
  let failed = false;
  const isDone = () => kept.now.grownGiB === kept.now.size.diskGiB;

  async function grow({ microVm, agent }: Awake): Promise<void> {
    const { size } = kept.now;
    await host.limitDisk(microVm, size);
    await microVm.machine.growDisk(size.diskGiB * GIB);
    await agent.grow({ sizeBytes: size.diskGiB * GIB });
    await life.write({ grownGiB: size.diskGiB });
    tell("resized", { diskGiB: size.diskGiB });
  }

  async function now(): Promise<void> {
    if (!life.awake || isDone()) return;
    dueAtMs = clock.bootMs() + pauseMs;
    try {
      await grow(life.awake);
      pauseMs = FIRST_PAUSE_MS;
      failed = false;
    } catch (error) {
      pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS);
      if (!failed) tell("resize_failed", { reason: messageOf(error) });
      failed = true;
      throw error;
    }
  }

  return {
    now,
    tick() {
      if (!life.awake || isDone() || life.isChanging() || clock.bootMs() < dueAtMs) return;
      life.inTurn(now).catch(() => {}); // it was told of
    },
  };
}
