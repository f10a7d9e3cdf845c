/**
 * Tries again what failed with `unavailable`, after pauses that grow and are drawn at random, until a deadline.
 *
 * A write with a condition may have taken place although its reply was lost; then the condition no longer holds. So when
 * it is refused after a lost reply, the object is read: if it holds the bytes that were to be written, they were. Two
 * writers that write the same bytes under the same condition would both believe so: what names a winner must differ
 * between them. And a write that took place and was replaced before its reply could be asked for again is told as
 * `precondition_failed`.
 */
import { isAppError } from "@mags/core";
import { checkRange } from "../keys.ts";
import type { CallOptions, ObjectStore, PutResult } from "../object-store.ts";
import { createPatience, type Patience, type PatienceDeps, type PatienceOptions } from "./patience.ts";

/** Bytes a second: a write, or the read of a range, that is no slower than that is not cut off by the deadline. */
const SLOWEST = 16 * 1024;

/**
 * @param options.deadlineMs  Of each call; of a listing, from a failure to the next object. What a slow network needs for
 *   the bytes of a write, or of a range that is read, comes on top.
 */
export function retryStore(store: ObjectStore, deps: PatienceDeps, options: PatienceOptions): ObjectStore {
  async function persist<T>(
    call: string,
    { signal }: CallOptions,
    attempt: (options: { readonly signal: AbortSignal }) => Promise<T>,
    sizeBytes = 0,
  ): Promise<T> {
    const patience = createPatience(call, deps, { ...options, transferMs: (1000 * sizeBytes) / SLOWEST });
    const either = signal ? AbortSignal.any([signal, patience.over]) : patience.over;
    for (;;) {
      try {
        return await attempt({ signal: either });
      } catch (error) {
        await patience.afterFailure(error, { signal });
      }
    }
  }

  /** What the object is, when it holds these bytes. */
  async function ifWritten(key: string, bytes: Uint8Array, call: CallOptions): Promise<PutResult | undefined> {
    try {
      const found = await store.get(key, call);
      return found.bytes.equals(bytes) ? { etag: found.etag } : undefined;
    } catch (error) {
      if (isAppError(error, "object_not_found")) return undefined;
      throw error;
    }
  }

  return {
    location: store.location,
    async get(key, options = {}) {
      const { range } = options;
      if (range) checkRange(range);
      const read = (call: { readonly signal: AbortSignal }) => store.get(key, { ...options, ...call });
      return persist(`reading ${key}`, options, read, range && range.end - range.start);
    },
    head: (key, options = {}) => persist(`looking at ${key}`, options, (call) => store.head(key, call)),
    delete: (key, options = {}) => persist(`removing ${key}`, options, (call) => store.delete(key, call)),

    put(key, bytes, options = {}) {
      let replyWasLost = false;
      const write = async (call: { readonly signal: AbortSignal }) => {
        try {
          return await store.put(key, bytes, { ...options, ...call });
        } catch (error) {
          const isDoubtful = replyWasLost && isAppError(error, "precondition_failed");
          const written = isDoubtful ? await ifWritten(key, bytes, call) : undefined;
          if (written) return written;
          replyWasLost ||= isAppError(error, "unavailable");
          throw error;
        }
      };
      return persist(`writing ${key}`, options, write, bytes.length);
    },

    async *list(prefix, { after, signal } = {}) {
      const call = `listing ${prefix}`;
      let last = after;
      let patience: Patience | undefined;
      for (;;) {
        try {
          for await (const object of store.list(prefix, { after: last, signal })) {
            last = object.key;
            patience = undefined;
            yield object;
          }
          return;
        } catch (error) {
          patience ??= createPatience(call, deps, options);
          await patience.afterFailure(error, { signal });
        }
      }
    },
  };
}
