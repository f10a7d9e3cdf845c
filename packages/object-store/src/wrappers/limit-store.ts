/** Bounds how many calls a store gets at a time. */
import { createGate } from "@mags/core";
import type { CallOptions, ObjectStore } from "../object-store.ts";

export interface LimitOptions {
  /** Calls at a time; others wait in the order they came. */
  readonly concurrency: number;
}

export function limitStore(store: ObjectStore, { concurrency }: LimitOptions): ObjectStore {
  const gate = createGate(concurrency);

  async function enter<T>({ signal }: CallOptions, call: () => Promise<T>): Promise<T> {
    const leave = await gate.enter(signal ? { signal } : {});
    try {
      return await call();
    } finally {
      leave();
    }
  }

  return {
    location: store.location,
    get: (key, options = {}) => enter(options, () => store.get(key, options)),
    head: (key, options = {}) => enter(options, () => store.head(key, options)),
    put: (key, bytes, options = {}) => enter(options, () => store.put(key, bytes, options)),
    delete: (key, options = {}) => enter(options, () => store.delete(key, options)),
    async *list(prefix, options = {}) {
      // What reads the listing may make calls of its own: it holds a place only while the store is asked.
      const objects = store.list(prefix, options)[Symbol.asyncIterator]();
      try {
        for (;;) {
          const step = await enter(options, () => objects.next());
          if (step.done) return;
          yield step.value;
        }
      } finally {
        await objects.return?.();
      }
    },
  };
}
