/** What the parts of one sandbox share: its record, its microVM, its turn, and what others were told of it. */
import { AppError, createGate, type Gate } from "@mags/core";
import type { ObservedSandbox, SandboxId } from "@mags/domain";
import { type KeptRecord, keepRecord } from "./kept-record.ts";
import type { Awake, SandboxDeps } from "./sandbox-deps.ts";
import type { SandboxRecord } from "./sandbox-record.ts";

export interface SandboxState {
  readonly record: SandboxRecord;
  readonly awake: Awake | null;
  /** Gives back the memory that its microVM takes. */
  readonly giveBack: () => void;
}

export interface SandboxLife {
  readonly id: SandboxId;
  readonly kept: KeptRecord;
  /** Null while it sleeps. Only a holder of the turn changes it, and under one policy. */
  awake: Awake | null;
  /** It has ended, or is about to. */
  readonly gone: boolean;
  /** The server stops. */
  readonly closing: AbortSignal;
  /** The server stops, or it has ended. */
  readonly givenUp: AbortSignal;
  /** Its state is about to be another: nothing is begun now. */
  readonly isChanging: () => boolean;
  /** How many wait for its turn. */
  readonly waiting: () => number;
  /** Work that is done beside the turns: each begins when `rest` has resolved. */
  beside(work: { rest(): Promise<void> }): void;
  /** One change of its state or disk at a time. */
  inTurn<T>(work: () => Promise<T>): Promise<T>;
  /**
   * What gives it a microVM or takes it away, and what changes its policy: one at a time. A change of its state does it in
   * its turn; a change of its policy needs no turn, and so does not wait for a sync.
   */
  underOnePolicy<T>(work: () => Promise<T>): Promise<T>;
  write(changes: Partial<SandboxRecord>): Promise<void>;
  /** Reports it, with the state it is in now. */
  tell(name: string, data: Readonly<Record<string, unknown>>): void;
  /** What others know: it changes with the report that says so. */
  readonly told: Pick<ObservedSandbox, "state" | "microVmId">;
  /** Nothing is written down of it any more. */
  end(): void;
  /** The next process has it from now on. */
  close(): void;
}

export function createSandboxLife(
  { store, clock, log, report }: Pick<SandboxDeps, "store" | "clock" | "log" | "report">,
  state: Pick<SandboxState, "record" | "awake">,
): SandboxLife {
  const { id } = state.record;
  const turn = createGate(1);
  const policyTurn = createGate(1);
  const kept = keepRecord(store, state.record);
  const closing = new AbortController();
  /** A wake that is under way is given up between two of its attempts. */
  const ending = new AbortController();
  const others: { rest(): Promise<void> }[] = [];
  let gone = false;
  /** It is no more, and neither is its disk: others have heard that. */
  let released = false;
  const seen = (): SandboxLife["told"] => ({
    state: life.awake ? "running" : "sleeping",
    microVmId: life.awake?.microVm.id ?? null,
  });

  const life: SandboxLife = {
    id,
    kept,
    awake: state.awake,
    get gone() {
      return gone;
    },
    closing: closing.signal,
    givenUp: AbortSignal.any([closing.signal, ending.signal]),
    isChanging: () => gone || turn.inside > 0,
    waiting: () => turn.waiting,
    beside: (work) => void others.push(work),
    inTurn: (work) =>
      within(turn, async () => {
        for (const other of others) await other.rest();
        return await work();
      }),
    underOnePolicy: (work) => within(policyTurn, work),
    write: (changes) => kept.change(() => changes),
    tell(name, data) {
      log.info(`sandbox.${name}`, { sandboxId: id, ...data });
      told = seen();
      released ||= name === "released";
      const state = released ? "gone" : told.state;
      report({
        ...{ type: "sandbox", sandboxId: id, state, microVmId: told.microVmId },
        ...{ atMs: clock.now().getTime(), name, data },
      });
    },
    get told() {
      return told;
    },
    end() {
      gone = true;
      kept.close();
      ending.abort(new AppError("job_not_running", "the sandbox is not running: it has ended"));
    },
    close: () => closing.abort(new AppError("unavailable", "the server is stopping")),
  };
  let told = seen();
  return life;
}

async function within<T>(gate: Gate, work: () => Promise<T>): Promise<T> {
  const leave = await gate.enter();
  try {
    return await work();
  } finally {
    leave();
  }
}
