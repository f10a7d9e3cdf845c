/** Clears away what ended microVMs leave, one after the other, when no job waits for a start. */
import { type Clock, type Logger, messageOf, sleep } from "@mags/core";

export interface Tidier extends AsyncDisposable {
  /** Takes a task, which must be one that the next start of the node would do too. One that fails is logged. */
  add(task: () => Promise<void>): void;
  /** As `add`; one that fails is tried again after a pause, which grows, and a last time when this is disposed of. */
  addUntilDone(task: () => Promise<void>): void;
}

const YIELD_MS = 25;
/** However busy the node is, nothing lies around longer before its turn comes. */
const LONGEST_MS = 3_000;
const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 5 * 60_000;

interface Task {
  readonly addedAtMs: number;
  readonly run: () => Promise<void>;
  /** Until it is tried again; null: it is not. */
  readonly pauseMs: number | null;
}

export function createTidier(
  deps: { readonly clock: Clock; readonly log: Logger },
  options: { readonly jobsWaiting: () => boolean },
): Tidier {
  const { clock, log } = deps;
  const tasks: Task[] = [];
  const pausing = new Map<Task, NodeJS.Timeout>();
  let working: Promise<void> | undefined;
  let hurry = false;

  const mayWait = (task: Task) => options.jobsWaiting() && !hurry && clock.monotonicMs() - task.addedAtMs < LONGEST_MS;

  async function work(): Promise<void> {
    for (let task = tasks.shift(); task; task = tasks.shift()) {
      while (mayWait(task)) await sleep(YIELD_MS);
      await task.run().catch(failed(task));
    }
    working = undefined;
  }

  const failed = (task: Task) => (error: unknown) => {
    const { run, pauseMs } = task;
    const again = pauseMs !== null && !hurry;
    log.error("microvm.tidy_failed", { error: messageOf(error), ...(again && { againAfterMs: pauseMs }) });
    if (!again) return;
    const next = { addedAtMs: clock.monotonicMs() + pauseMs, run, pauseMs: Math.min(2 * pauseMs, LONGEST_PAUSE_MS) };
    pausing.set(
      next,
      setTimeout(() => enqueue(next), pauseMs),
    );
  };

  function enqueue(task: Task): void {
    clearTimeout(pausing.get(task));
    pausing.delete(task);
    tasks.push(task);
    working ??= work();
  }

  return {
    add: (run) => enqueue({ addedAtMs: clock.monotonicMs(), run, pauseMs: null }),
    addUntilDone: (run) => enqueue({ addedAtMs: clock.monotonicMs(), run, pauseMs: FIRST_PAUSE_MS }),
    async [Symbol.asyncDispose]() {
      hurry = true;
      for (const task of [...pausing.keys()]) enqueue(task);
      await working;
    },
  };
}
