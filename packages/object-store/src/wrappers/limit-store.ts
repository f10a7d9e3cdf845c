/** Bounds how many calls a store gets at a time, and how many bytes in a second. */
import { createGate, sleep } from "@mags/core";
import type { CallOptions, ObjectStore } from "../object-store.ts";

export interface LimitOptions {
  /** Calls at a time; others wait in the order they came. */
  readonly concurrency: number;
  /** Bytes of objects read and written in a second, on average. Default: no limit. */
  readonly bytesPerSecond?: number | undefined;
}

export function limitStore(store: ObjectStore, { concurrency, bytesPerSecond }: LimitOptions): ObjectStore {
  const gate = createGate(concurrency);
  const pace = createPace(bytesPerSecond);

  /** @param sizeOf  Bytes that the call has moved. */
  async function enter<T>({ signal }: CallOptions, call: () => Promise<T>, sizeOf?: (result: T) => number): Promise<T> {
    const leave = await gate.enter(signal ? { signal } : {});
    try {
      if (sizeOf) await pace.whenEven(signal);
      const result = await call();
      if (sizeOf) pace.charge(sizeOf(result));
      return result;
    } finally {
      leave();
    }
  }

  return {
    location: store.location,
    get: (key, options = {}) =>
      enter(
        options,
        () => store.get(key, options),
        ({ bytes }) => bytes.length,
      ),
    head: (key, options = {}) => enter(options, () => store.head(key, options)),
    put: (key, bytes, options = {}) =>
      enter(
        options,
        () => store.put(key, bytes, options),
        () => bytes.length,
      ),
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

/** A call begins when what was moved before is paid for, so that no object is too large. */
function createPace(bytesPerSecond: number | undefined) {
  let evenAt = performance.now();
  return {
    async whenEven(signal: AbortSignal | undefined): Promise<void> {
      for (let waitMs = evenAt - performance.now(); waitMs > 0; waitMs = evenAt - performance.now())
        await sleep(waitMs, signal ? { signal } : {});
    },
    charge(bytes: number): void {
      if (bytesPerSecond === undefined) return;
      evenAt = Math.max(evenAt, performance.now()) + (bytes / bytesPerSecond) * 1000;
    },
  };
}
