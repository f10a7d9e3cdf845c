/** Fills packs with records and uploads them beside; bounded in memory by the packs under way. */
import { createGate, untilAborted } from "@mags/core";
import type { ObjectStore } from "@mags/object-store";
import { createPackBuilder, type Kind, type PackBuilder } from "./format/pack.ts";
import { encodeRecord, type RecordRef, sha256Of } from "./format/records.ts";
import { packKey } from "./keys.ts";

/** A pack is ended when it has this many bytes. */
const PACK_BYTES = 16 << 20;
/** Packs that are being uploaded at a time. */
const UPLOADS = 2;

export interface PackUploader {
  /** Stores a record; resolves when it is in a pack, which may not be uploaded yet. @throws what an upload failed with. */
  add(kind: Kind, plain: Uint8Array, sha256?: string): Promise<RecordRef>;
  /** Resolves when every record is in the store. */
  flush(): Promise<void>;
  /** Sizes of the packs that were begun, by id; final after `flush`. */
  readonly packs: ReadonlyMap<string, number>;
  /** What was sent so far. */
  readonly sent: { readonly bytes: number; readonly puts: number };
  /** Resolves when no upload is under way any more. */
  settled(): Promise<void>;
}

export function createPackUploader(
  store: ObjectStore,
  { account, signal }: { readonly account: string; readonly signal: AbortSignal },
): PackUploader {
  const gate = createGate(UPLOADS);
  const uploads = new Set<Promise<void>>();
  const packs = new Map<string, number>();
  const sent = { bytes: 0, puts: 0 };
  let failure: { readonly error: unknown } | undefined;
  let builder: PackBuilder | undefined;

  function check(): void {
    signal.throwIfAborted();
    if (failure) throw failure.error;
  }

  /** Waits until there is room for one more upload, then goes on beside it. */
  async function upload(full: PackBuilder): Promise<void> {
    const leave = await gate.enter({ signal });
    const bytes = full.finish();
    packs.set(full.id, bytes.length);
    const put = store
      .put(packKey(account, full.id), bytes, { signal })
      .then(() => {
        sent.bytes += bytes.length;
        sent.puts++;
      })
      .catch((error: unknown) => {
        failure ??= { error };
      })
      .finally(() => {
        uploads.delete(put);
        leave();
      });
    uploads.add(put);
  }

  return {
    packs,
    sent,
    async add(kind, plain, sha256 = sha256Of(plain)) {
      check();
      const { stored, codec } = encodeRecord(plain);
      builder ??= createPackBuilder();
      const { pack, offset, storedBytes } = builder.add({ kind, codec, plainBytes: plain.length, sha256 }, stored);
      packs.set(pack, builder.sizeBytes);
      if (builder.sizeBytes >= PACK_BYTES) {
        const full = builder;
        builder = undefined;
        await upload(full);
      }
      return { pack, offset, storedBytes, codec, plainBytes: plain.length, sha256 };
    },
    async flush() {
      check();
      if (builder) {
        const last = builder;
        builder = undefined;
        await upload(last);
      }
      await untilAborted(Promise.all(uploads), signal);
      check();
    },
    async settled() {
      await Promise.all(uploads);
    },
  };
}
