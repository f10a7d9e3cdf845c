/** Says in the log when the object store goes away and when it is back, once each, however many reads meet that. */
import { type Logger, messageOf } from "@mags/core";
import type { RecordSource } from "@mags/workspace-store";
import { isDamage } from "../exports/damages.ts";

export interface StoreWatch {
  /** A read of the store has ended: with its bytes, or with what they cannot be. */
  onAnswer(): void;
  onFailure(error: unknown): void;
}

export function createStoreWatch({ log }: { readonly log: Logger }): StoreWatch {
  let awaySinceMs: number | undefined;
  return {
    onAnswer() {
      if (awaySinceMs === undefined) return;
      log.info("blocks.store_back", { away_ms: Math.round(performance.now() - awaySinceMs) });
      awaySinceMs = undefined;
    },
    onFailure(error) {
      if (awaySinceMs !== undefined) return;
      log.warn("blocks.store_away", { error: messageOf(error) });
      awaySinceMs = performance.now();
    },
  };
}

/** Reads of the store itself, not of what is kept of it. */
export function watchedRecords(source: RecordSource, watch: StoreWatch): RecordSource {
  async function watched<T>(read: Promise<T>, signal: AbortSignal): Promise<T> {
    try {
      const found = await read;
      watch.onAnswer();
      return found;
    } catch (error) {
      if (isDamage(error)) watch.onAnswer();
      else if (!signal.aborted) watch.onFailure(error);
      throw error;
    }
  }
  return {
    get: (ref, options) => watched(source.get(ref, options), options.signal),
    getAll: (refs, options) => watched(source.getAll(refs, options), options.signal),
  };
}
