/** Clears away what ended microVMs leave, one after the other, when no job waits for a start. */
import { type Clock, type Logger, messageOf, sleep } from "@mags/core";

export interface Tidier extends AsyncDisposable {
  /** Takes a task, which must be one that the next start of the node would do too. */
  add(task: () => Promise<void>): void;
}

const YIELD_MS = 25;
/** However busy the node is, nothing lies around longer before its turn comes. */
const LONGEST_MS = 3_000;

interface Task {
  readonly addedAtMs: number;
  readonly run: () => Promise<void>;
}

export function createTidier(
  deps: { readonly clock: Clock; readonly log: Logger },
  options: { readonly jobsWaiting: () => boolean },
): Tidier {
  const { clock, log } = deps;
  const tasks: Task[] = [];
  let working: Promise<void> | undefined;
  let hurry = false;

  const mayWait = (task: Task) => options.jobsWaiting() && !hurry && clock.monotonicMs() - task.addedAtMs < LONGEST_MS;

  async function work(): Promise<void> {
    for (let task = tasks.shift(); task; task = tasks.shift()) {
      while (mayWait(task)) await sleep(YIELD_MS);
      await task.run().catch((error: unknown) => log.error("microvm.tidy_failed", { error: messageOf(error) }));
    }
    working = undefined;
  }

  return {
    add(run) {
      tasks.push({ addedAtMs: clock.monotonicMs(), run });
      working ??= work();
    },
    async [Symbol.asyncDispose]() {
      hurry = true;
      await working;
    },
  };
}
