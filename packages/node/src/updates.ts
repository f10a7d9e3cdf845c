/** Carries what the node reports to those who listen. */
import type { NodeUpdate } from "@mags/domain";

export interface Updates {
  report(update: NodeUpdate): void;
  /** The first listener is told at once of the damage that was met before: nothing else would tell of it again. */
  listen(listener: (update: NodeUpdate) => void): void;
}

/** More than that tell nothing new; all is in the block server's log. */
const MOST_KEPT = 200;

export function createUpdates(): Updates {
  const listeners: ((update: NodeUpdate) => void)[] = [];
  let kept: NodeUpdate[] = [];
  return {
    report(update) {
      for (const listener of listeners) listener(update);
      const isDamage = update.type === "sandbox" && update.name === "workspace_damaged";
      if (isDamage && listeners.length === 0 && kept.length < MOST_KEPT) kept.push(update);
    },
    listen(listener) {
      listeners.push(listener);
      for (const update of kept) listener(update);
      kept = [];
    },
  };
}
