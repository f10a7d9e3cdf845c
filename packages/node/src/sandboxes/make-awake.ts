/**
 * Wakes a sandbox's guest as well as it can be: with its memory, else from its disk; again when it fails. A memory that can
 * still be used is kept until a guest runs without it, and is not given up for what the host is short of just now.
 */
import { AppError, isAppError, messageOf, sleep } from "@mags/core";
import { isShortage } from "../host/is-shortage.ts";
import type { MicroVm } from "../microvm/microvm-host.ts";
import type { Awake, SandboxDeps } from "./sandbox-deps.ts";
import type { Asleep, SandboxRecord } from "./sandbox-record.ts";
import { misfitOf, wakeCold, wakeWarm } from "./wake.ts";

export interface Waking {
  /** The record as it is now. */
  readonly record: () => SandboxRecord;
  readonly write: (changes: Partial<SandboxRecord>) => Promise<void>;
  /** Told of each attempt that failed, in words for people. */
  readonly onFailure: (reason: string) => void;
  /** Its memory is used up, or a guest is about to run without it: what ran in it is over. Called at most once. */
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

interface Failure {
  readonly failure: string;
  /** Its memory is used up by it. */
  readonly used: boolean;
  /** It may succeed later. */
  readonly passing: boolean;
}

/** @throws AppError `unavailable` when it cannot be woken now; it sleeps as before then, or without its memory. */
export async function makeAwake(deps: SandboxDeps, waking: Waking): Promise<Woken> {
  const { record, write } = waking;
  let over = false;
  const cold = (why: string) => {
    if (!over) waking.onCold(why);
    over = true;
  };

  async function attempt(make: typeof wakeWarm, onCommit = () => {}): Promise<Awake | Failure> {
    waking.signal.throwIfAborted();
    let used = false;
    const commit = async (microVm: MicroVm) => {
      await write({ microVmId: microVm.id, asleep: null });
      used = true;
      onCommit();
      waking.onCommit();
    };
    try {
      return await make(deps, record(), commit);
    } catch (error) {
      const failure = messageOf(error);
      waking.onFailure(failure);
      used ||= isAppError(error) && error.details.damaged === true;
      if (used) await write({ asleep: asleepWithout(deps, record(), `its last wake failed: ${failure}`) });
      return { failure, used, passing: isShortage(error) };
    }
  }

  const unwoken = (failure: string, kept: string) =>
    new AppError("unavailable", `the sandbox could not be woken: ${failure}; ${kept}, try again`);

  let coldBecause = await misfitOf(deps, record());
  for (let tries = 1; coldBecause === undefined; tries++) {
    const result = await attempt(wakeWarm);
    if (!("failure" in result)) return { ...result, coldBecause: null };
    if (result.used) {
      coldBecause = `its memory could not be loaded: ${result.failure}`;
      cold(coldBecause);
    } else if (tries < ATTEMPTS) await sleep(PAUSE_MS * tries, { signal: waking.signal });
    else if (result.passing) throw unwoken(result.failure, "its memory and its disk are kept");
    else coldBecause = `its memory could not be loaded: ${result.failure}`;
  }
  const why = coldBecause;
  if (waking.warmOnly) {
    const state = record().asleep?.memory ? "is left asleep" : "has lost its memory";
    throw new AppError("unavailable", `the sandbox ${state}: ${why}`);
  }
  for (let tries = 1; ; tries++) {
    const result = await attempt(wakeCold, () => cold(why));
    if (!("failure" in result)) return { ...result, coldBecause: why };
    if (tries === ATTEMPTS) throw unwoken(result.failure, "its disk is kept");
    await sleep(PAUSE_MS * tries, { signal: waking.signal });
  }
}

/** How one sleeps whose memory is lost. Of a synced one nobody knows whether all of its disk is published. */
export function asleepWithout(
  { clock }: Pick<SandboxDeps, "clock">,
  { policy, asleep }: Pick<SandboxRecord, "policy" | "asleep">,
  reason: string,
): Asleep {
  const unsynced = `${reason}; what changed since the last sync is synced when the VM is used next`;
  const behind = policy.syncTo ? { bytes: asleep?.behind?.bytes ?? 0, reason: unsynced } : null;
  return { atMs: clock.now().getTime(), reason, memory: null, behind };
}
