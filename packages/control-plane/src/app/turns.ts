import { withDeadline } from "@mags/core";
import { persistently } from "./persistently.ts";

/** Work on one thing is done one after another, in the order in which it came, and waits for a database that is away. */
export interface Turns<Key> {
  /** Runs `work` in the key's turn, again while the database is away. */
  run<T>(key: Key, work: () => Promise<T>): Promise<T>;
  /** Resolves when all work on it that came before is done, or failed. */
  settled(key: Key): Promise<void>;
  /** Waits for the work that is under way, at most `deadlineMs`, then gives up the rest. Rejects if there was any. */
  close(options: { readonly deadlineMs: number }): Promise<void>;
  /** Nothing is waited for any more. */
  readonly closed: boolean;
  /** Keys with work under way. */
  readonly size: number;
}

export function createTurns<Key>(): Turns<Key> {
  const closing = new AbortController();
  const turns = new Map<Key, Promise<void>>();
  return {
    run(key, work) {
      const turn = (turns.get(key) ?? Promise.resolve()).then(() => persistently(work, { signal: closing.signal }));
      const settled = turn
        .then(() => {})
        .catch(() => {})
        .then(() => {
          if (turns.get(key) === settled) turns.delete(key);
        });
      turns.set(key, settled);
      return turn;
    },
    async settled(key) {
      await turns.get(key);
    },
    async close({ deadlineMs }) {
      const all = Promise.all([...turns.values()]).then(() => {});
      await withDeadline(all, deadlineMs, () => new Error("reports of the node are still not stored")).finally(() =>
        closing.abort(),
      );
    },
    get closed() {
      return closing.signal.aborted;
    },
    get size() {
      return turns.size;
    },
  };
}
