/** Objects in memory, for tests: the store all others are compared with. */
import { createHash } from "node:crypto";
import { type Clock, systemClock } from "@mags/core";
import {
  checkKey,
  checkPrefix,
  checkRange,
  checkSize,
  compareKeys,
  conditionFailed,
  folderInTheWay,
  notFound,
  rangeBeyond,
} from "../keys.ts";
import type { ObjectHead, ObjectStore } from "../object-store.ts";

interface Held extends ObjectHead {
  readonly bytes: Buffer;
}

export function createMemoryStore({ clock = systemClock }: { readonly clock?: Clock } = {}): ObjectStore {
  const location = "memory";
  const objects = new Map<string, Held>();
  /** How many keys lie below each folder. */
  const folders = new Map<string, number>();

  function count(key: string, by: 1 | -1): void {
    for (const folder of foldersOf(key)) {
      const keys = (folders.get(folder) ?? 0) + by;
      if (keys === 0) folders.delete(folder);
      else folders.set(folder, keys);
    }
  }

  return {
    location,
    async get(key, { range, signal } = {}) {
      checkKey(key);
      if (range) checkRange(range);
      signal?.throwIfAborted();
      const held = objects.get(key);
      if (!held) throw notFound(key, location);
      if (range && range.end > held.sizeBytes) throw rangeBeyond(key, range);
      return { bytes: Buffer.from(range ? held.bytes.subarray(range.start, range.end) : held.bytes), etag: held.etag };
    },
    async head(key, { signal } = {}) {
      checkKey(key);
      signal?.throwIfAborted();
      const held = objects.get(key);
      return held && { sizeBytes: held.sizeBytes, etag: held.etag, modifiedAt: held.modifiedAt };
    },
    async put(key, bytes, { ifAbsent = false, ifMatch, signal } = {}) {
      checkKey(key);
      checkSize(key, bytes.length);
      signal?.throwIfAborted();
      const held = objects.get(key);
      if ((ifAbsent && held) || (ifMatch !== undefined && held?.etag !== ifMatch)) throw conditionFailed(key, location);
      if (folders.has(key) || foldersOf(key).some((folder) => objects.has(folder))) throw folderInTheWay(key);
      if (!held) count(key, 1);
      const etag = createHash("sha256").update(bytes).digest("hex");
      objects.set(key, { bytes: Buffer.from(bytes), sizeBytes: bytes.length, etag, modifiedAt: clock.now() });
      return { etag };
    },
    async delete(key, { signal } = {}) {
      checkKey(key);
      signal?.throwIfAborted();
      if (objects.delete(key)) count(key, -1);
    },
    async *list(prefix, { after, signal } = {}) {
      checkPrefix(prefix);
      const keys = [...objects.keys()].filter((key) => key.startsWith(prefix)).toSorted(compareKeys);
      for (const key of keys) {
        signal?.throwIfAborted();
        const held = objects.get(key);
        if (!held || (after !== undefined && compareKeys(key, after) <= 0)) continue;
        yield { key, sizeBytes: held.sizeBytes, modifiedAt: held.modifiedAt };
      }
      signal?.throwIfAborted();
    },
  };
}

function foldersOf(key: string): readonly string[] {
  const segments = key.split("/");
  return segments.slice(1).map((_, index) => segments.slice(0, index + 1).join("/"));
}
