/** Wakes a sandbox's guest as well as it can be: with its memory, else from its disk; again when it fails. */
import { AppError, isAppError, messageOf, sleep } from "@mags/core";
import type { MicroVm } from "../microvm/microvm-host.ts";
import type { Awake, SandboxDeps } from "./sandbox-deps.ts";
import type { SandboxRecord } from "./sandbox-record.ts";
import { misfitOf, wakeCold, wakeWarm } from "./wake.ts";

export interface Waking {
  /** The record as it is now. */
  readonly record: () => SandboxRecord;
  readonly write: (changes: Partial<SandboxRecord>) => Promise<void>;
  /** Told of each attempt that failed, in words for people. */
  readonly onFailure: (reason: string) => void;
  /** Its memory is not used: what ran in it is over. Called once. */
  readonly onCold: (reason: string) => void;
  /** It is written down that it is awake; its guest runs from here on. */
  readonly onCommit: () => void;
  /** Without its memory it is not woken. */
  readonly warmOnly: boolean;
  /** Gives the wake up between two attempts. */
  readonly signal: AbortSignal;
}

export interface Woken extends Awake {
  /** Why its memory was not used; null when it was. */
  readonly coldBecause: string | null;
}

const ATTEMPTS = 3;
const PAUSE_MS = 200;

/** What a wake from the disk needs and may take long to make, before the wake takes a place among the starts. */
export async function makeReady(deps: SandboxDeps, record: SandboxRecord): Promise<void> {
  if ((await misfitOf(deps, record)) !== undefined) await deps.templates.get(record.image, record.size);
}

/** @throws AppError `unavailable` when it cannot be woken now; it sleeps as before then, or without its memory. */
export async function makeAwake(deps: SandboxDeps, waking: Waking): Promise<Woken> {
  const { record, write } = waking;

  /** @returns what failed, and whether the memory is used up by it. */
  async function attempt(make: typeof wakeWarm): Promise<Awake | { readonly failure: string; readonly used: boolean }> {
    waking.signal.throwIfAborted();
    let used = false;
    const commit = async (microVm: MicroVm) => {
      await write({ microVmId: microVm.id, asleep: null });
      used = true;
      waking.onCommit();
    };
    try {
      return await make(deps, record(), commit);
    } catch (error) {
      const failure = messageOf(error);
      waking.onFailure(failure);
      used ||= isAppError(error) && error.details.damaged === true;
      if (used) await write({ asleep: asleepWithout(deps, `its last wake failed: ${failure}`) });
      return { failure, used };
    }
  }

  let coldBecause = await misfitOf(deps, record());
  for (let tries = 1; coldBecause === undefined; tries++) {
    const result = await attempt(wakeWarm);
    if (!("failure" in result)) return { ...result, coldBecause: null };
    if (result.used || tries === ATTEMPTS) coldBecause = `its memory could not be loaded: ${result.failure}`;
    else await sleep(PAUSE_MS * tries, { signal: waking.signal });
  }
  if (waking.warmOnly && record().asleep?.memory)
    throw new AppError("unavailable", `the sandbox is left asleep: ${coldBecause}`);
  waking.onCold(coldBecause);
  if (waking.warmOnly) throw new AppError("unavailable", `the sandbox has lost its memory: ${coldBecause}`);
  for (let tries = 1; ; tries++) {
    const result = await attempt(wakeCold);
    if (!("failure" in result)) return { ...result, coldBecause };
    if (tries === ATTEMPTS)
      throw new AppError(
        "unavailable",
        `the sandbox could not be woken: ${result.failure}; its disk is kept, try again`,
      );
    await sleep(PAUSE_MS * tries, { signal: waking.signal });
  }
}

export function asleepWithout({ clock }: Pick<SandboxDeps, "clock">, reason: string): SandboxRecord["asleep"] {
  return { atMs: clock.now().getTime(), reason, memory: null };
}
