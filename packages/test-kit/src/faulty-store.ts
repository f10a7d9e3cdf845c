/** An object store in front of another, that goes wrong as it is told, and in the same way each time. */
import { AppError, untilAborted } from "@mags/core";
import type { CallOptions, ObjectStore } from "@mags/object-store";
import type { SeededRandom } from "./seeded-random.ts";

/**
 * - `busy`: `unavailable`, and nothing was done: a reply of 500, an upload that was cut off
 * - `lost_reply`: it was done, then `unavailable`
 * - `stall`: no answer until the signal is aborted
 * - `full`: `disk_full`, and nothing was done
 * - `missing`: `object_not_found`, whatever is there
 * - `flipped`: a bit of what `get` gives is another
 * - an error: that one, and nothing was done
 */
export type FaultKind = "busy" | "lost_reply" | "stall" | "full" | "missing" | "flipped" | Error;

export interface Fault {
  readonly kind: FaultKind;
  /**
   * Of which calls: those whose label it matches. Labels are `get KEY`, `head KEY`, `put KEY`, `delete KEY`, `list PREFIX`,
   * and `next KEY` before a listing gives that key.
   */
  readonly on: RegExp;
  /** From which of these calls on, the next being 1. Default: 1. */
  readonly nth?: number;
  /** How many of them. Default: 1. */
  readonly times?: number;
  /** How likely each of them is to go wrong. Default: 1. */
  readonly chance?: number;
}

export interface FaultyStore extends ObjectStore {
  /** The labels of all calls so far. */
  readonly calls: readonly string[];
  inject(fault: Fault): void;
  /** Nothing goes wrong any more; what stalls does so until its signal. */
  heal(): void;
  /** The next call whose label matches (or the nth) waits, before anything is done, until it is let go. */
  hold(on: RegExp, options?: { readonly nth?: number }): HeldCall;
  /** Flips a bit of an object where it lies. */
  damage(key: string): Promise<void>;
}

export interface HeldCall {
  /** Resolves when it is there. */
  readonly reached: Promise<void>;
  letGo(): void;
}

interface Armed {
  readonly fault: Fault;
  seen: number;
}

interface Hold {
  readonly on: RegExp;
  left: number;
  readonly reached: PromiseWithResolvers<void>;
  readonly go: PromiseWithResolvers<void>;
}

export function createFaultyStore(store: ObjectStore, { random }: { readonly random: SeededRandom }): FaultyStore {
  const calls: string[] = [];
  const armed: Armed[] = [];
  const holds: Hold[] = [];

  /** What goes wrong with this call, if anything. */
  function meet(label: string): FaultKind | undefined {
    calls.push(label);
    let met: FaultKind | undefined;
    for (const entry of armed) {
      const { kind, on, nth = 1, times = 1, chance = 1 } = entry.fault;
      if (!on.test(label)) continue;
      entry.seen++;
      if (entry.seen >= nth && entry.seen < nth + times && random.chance(chance)) met ??= kind;
    }
    return met;
  }

  async function heldUp(label: string): Promise<void> {
    for (const hold of holds) {
      if (hold.left === 0 || !hold.on.test(label)) continue;
      hold.left--;
      if (hold.left > 0) continue;
      hold.reached.resolve();
      await hold.go.promise;
    }
  }

  /** @param spoil  What becomes of the result where a bit is to be another. */
  async function call<T>(
    label: string,
    { signal }: CallOptions,
    action: () => Promise<T>,
    spoil = (result: T) => result,
  ): Promise<T> {
    await heldUp(label);
    const kind = meet(label);
    if (kind === undefined) return action();
    if (kind === "flipped") return spoil(await action());
    if (kind === "stall") return stall(label, signal);
    if (kind === "lost_reply") await action();
    throw failureOf(kind, label);
  }

  function flip(bytes: Buffer): Buffer {
    if (bytes.length === 0) return bytes;
    const flipped = Buffer.from(bytes);
    const at = random.between(0, bytes.length - 1);
    flipped.writeUInt8(flipped.readUInt8(at) ^ (1 << random.between(0, 7)), at);
    return flipped;
  }

  return {
    location: store.location,
    calls,
    inject: (fault) => void armed.push({ fault, seen: 0 }),
    heal: () => void armed.splice(0),
    hold(on, { nth = 1 } = {}) {
      const hold: Hold = {
        ...{ on, left: nth },
        ...{ reached: Promise.withResolvers<void>(), go: Promise.withResolvers<void>() },
      };
      holds.push(hold);
      return { reached: hold.reached.promise, letGo: () => hold.go.resolve() };
    },
    async damage(key) {
      await store.put(key, flip((await store.get(key)).bytes));
    },
    get: (key, options = {}) =>
      call(
        `get ${key}`,
        options,
        () => store.get(key, options),
        (found) => ({ ...found, bytes: flip(found.bytes) }),
      ),
    head: (key, options = {}) => call(`head ${key}`, options, () => store.head(key, options)),
    put: (key, bytes, options = {}) => call(`put ${key}`, options, () => store.put(key, bytes, options)),
    delete: (key, options = {}) => call(`delete ${key}`, options, () => store.delete(key, options)),
    async *list(prefix, options = {}) {
      await call(`list ${prefix}`, options, async () => {});
      for await (const object of store.list(prefix, options)) {
        await call(`next ${object.key}`, options, async () => {});
        yield object;
      }
    },
  };
}

function stall(label: string, signal: AbortSignal | undefined): Promise<never> {
  if (!signal) throw new Error(`${label} would never end: it has no signal`);
  return untilAborted(new Promise<never>(() => {}), signal);
}

function failureOf(kind: Exclude<FaultKind, "stall" | "flipped">, label: string): Error {
  if (typeof kind !== "string") return kind;
  const code = {
    busy: "unavailable",
    lost_reply: "unavailable",
    full: "disk_full",
    missing: "object_not_found",
  } as const;
  return new AppError(code[kind], `${label} goes wrong on purpose: ${kind}`);
}
